"""Weight normalization: a kernel learned as a length and a direction."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

_LAST_AXIS = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


@keras.saving.register_keras_serializable(package="kerastricks")
class WeightNormalization(keras.layers.Wrapper):
    """Runs a layer with the kernel w = g v / ||v||, one length g and one direction v per output unit.

    The length of the gradient no longer depends on the length of the kernel, which makes training less sensitive
    to the rate, without batch statistics: it suits small batches and generative models. Batch normalisation
    usually wins for classification, and the two together are redundant. Training and inference do the same.

    The layer's own variable `kernel` holds v; the wrapper adds g, which starts at ||v||, so that wrapping
    changes nothing at first, also for a layer that is trained. A `kernel_regularizer` of the layer acts on w.
    `initialize(data)` is the paper's start from data. `to_plain()` gives the plain layer with w as its kernel.

    Args:
        layer: Dense, or a convolution: Conv1D to 3D, their transposed forms, DepthwiseConv1D and 2D; with `axis`
            any layer whose variable is called `kernel`. Losses that its `call` adds itself are dropped.
        axis: the axes of the kernel that count output units, an integer or several; None is those of the layer's
            kind: the last, the last but one for transposed convolutions, the last two for depthwise ones.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype` (the layer's by default).

    Call arguments:
        inputs: as the layer takes them.

    Returns:
        What the layer returns.

    Raises:
        ValueError: for a layer whose axes are not known, one with a `kernel_constraint` (which would bound v, not
            w) or with a kernel of zeros, an `axis` that the kernel has not, and for data of `initialize` on which
            a unit is constant.

    Example:
        >>> import keras, kerastricks, numpy
        >>> layer = kerastricks.layers.WeightNormalization(keras.layers.Dense(4))
        >>> layer.initialize(numpy.random.default_rng(0).normal(3, 2, (256, 8)))
        >>> layer(numpy.random.default_rng(0).normal(3, 2, (256, 8))).numpy().std(axis=0).round(3).tolist()
        [1.0, 1.0, 1.0, 1.0]

    Reference:
        Salimans, Kingma: Weight Normalization, NeurIPS 2016, arXiv 1602.07868, equations 2, 5 and 6. Deviations:
        the start from data is a method one calls, where tensorflow-addons runs it in the first call (its
        `data_init=True`); a squared norm below 1e-12 counts as 1e-12.
    """

    def __init__(self, layer: keras.layers.Layer, axis: int | Sequence[int] | None = None, **kwargs: Any) -> None:
        if isinstance(layer, keras.layers.Layer):
            kwargs.setdefault("dtype", layer.dtype_policy)
            if layer.activity_regularizer is not None:
                # The layer runs in a scope of its own, which drops the losses it adds.
                kwargs.setdefault("activity_regularizer", layer.activity_regularizer)
        super().__init__(layer, **kwargs)
        if getattr(layer, "kernel_constraint", None) is not None:
            raise ValueError(
                "WeightNormalization's layer must have no kernel_constraint, which would bound v and not w: "
                f"remove it. Received: kernel_constraint={layer.kernel_constraint!r}"
            )
        if isinstance(getattr(layer, "kernel_initializer", None), keras.initializers.Zeros):
            raise ValueError(
                "WeightNormalization needs a kernel with a direction: choose another kernel_initializer. "
                'Received: kernel_initializer="zeros"'
            )
        self.axis = axis if axis is None or isinstance(axis, int) else tuple(axis)
        self.unit_axes = _unit_axes(layer) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.supports_masking = layer.supports_masking

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        kernel = getattr(self.layer, "kernel", None)
        if not isinstance(kernel, keras.Variable):
            raise ValueError(f"WeightNormalization needs a layer with a variable `kernel`. Received: {self.layer}")
        rank = len(kernel.shape)
        if not all(-rank <= axis < rank for axis in self.unit_axes):
            raise ValueError(
                f"axis must be that of a kernel of shape {tuple(kernel.shape)}. Received: axis={self.axis}"
            )
        kept = sorted({axis % rank for axis in self.unit_axes})
        self.summed_axes = tuple(axis for axis in range(rank) if axis not in kept)
        self.length_shape = tuple(size if axis in kept else 1 for axis, size in enumerate(kernel.shape))
        units = tuple(kernel.shape[axis] for axis in kept)

        def length(shape: Sequence[int], dtype: Any = None) -> Any:
            return ops.reshape(_norm(ops.convert_to_tensor(kernel), self.summed_axes), shape)

        # A callable, since the kernel may get its value after this (models that are built inside `fit`).
        self.g = self.add_weight(shape=units, initializer=length, name="g", autocast=False)
        if kernel.regularizer is not None:
            kernel.regularizer = _on_kernel(self, self.layer.kernel_regularizer)
        self.built = True

    def normalized(self, v: Any) -> Any:
        """w = g v / ||v||, in float32 or better."""
        v = ops.cast(v, self.g.dtype)
        return v * (ops.reshape(self.g.value, self.length_shape) / _norm(v, self.summed_axes))

    def call(self, inputs: Any) -> Any:
        kernel = self.layer.kernel
        mapping = [
            (variable, self.normalized(variable.value) if variable is kernel else variable.value)
            for variable in self.layer.variables
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            before = [scope.get_current_value(variable) for variable, _ in mapping]
            outputs = self.layer(inputs)
            after = [scope.get_current_value(variable) for variable, _ in mapping]
        for (variable, _), old, new in zip(mapping, before, after, strict=True):
            if new is not old:
                variable.assign(new)
        return outputs

    def initialize(self, data: Any) -> None:
        """Sets g to 1 / sigma and the bias to -mu / sigma, of the pre-activations of `data` (equations 5 and 6).

        Afterwards the layer's output on `data`, before its activation, has mean 0 (if it has a bias) and
        variance 1 in every unit. `data` is what reaches this layer, a few hundred examples or more: layers are
        initialized from the first to the last, each on `keras.Model(model.inputs, layer.input).predict(images)`.
        """
        data = np.asarray(data, "float32")
        if not self.built:
            self.build(data.shape)
        # A copy in float32 with kernel v / ||v||, no bias and no activation.
        config = self.layer.get_config()
        changes = {key: value for key, value in (("activation", "linear"), ("dtype", "float32")) if key in config}
        plain = self.to_plain(**changes)
        v = ops.convert_to_tensor(self.layer.kernel)
        plain.kernel.assign(v / _norm(v, self.summed_axes))
        bias = getattr(self.layer, "bias", None)
        if bias is not None:
            plain.bias.assign(np.zeros(bias.shape))
        outputs = ops.convert_to_numpy(plain(data)).astype("float64")
        channels = 1 if getattr(self.layer, "data_format", None) == "channels_first" else outputs.ndim - 1
        others = tuple(axis for axis in range(outputs.ndim) if axis != channels)
        mean, deviation = outputs.mean(axis=others), outputs.std(axis=others)
        constant = ~(deviation > 1e-6 * np.abs(mean))
        if constant.any():
            raise ValueError(
                "data must be finite and vary in every unit's pre-activation. Received: shape "
                f"{data.shape}, on which {constant.sum()} of {constant.size} units are constant or not finite"
            )
        self.g.assign((1 / deviation).reshape(self.g.shape))
        if bias is not None:
            bias.assign((-mean / deviation).reshape(bias.shape))

    def to_plain(self, **changes: Any) -> keras.layers.Layer:
        """The layer without the wrapper, a new one with w as its kernel; `changes` go into its config."""
        if not self.built:
            raise ValueError(
                f"WeightNormalization.to_plain needs weights: build the layer or call it first. Received: {self!r}"
            )
        plain = type(self.layer).from_config({**self.layer.get_config(), **changes})
        plain.build_from_config(self.layer.get_build_config())
        for new, old in zip(plain.variables, self.layer.variables, strict=True):
            new.assign(self.normalized(old.value) if old is self.layer.kernel else old.value)
        return plain

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "axis": self.axis}
        config["layer"].pop("build_config", None)  # `build` builds it; the config stays the same
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "WeightNormalization":
        return super().from_config(dict(config), custom_objects)  # Keras's takes the layer out of the dict


def _unit_axes(layer: keras.layers.Layer) -> tuple[int, ...]:
    if isinstance(layer, _DEPTHWISE):
        return (-2, -1)
    if isinstance(layer, _TRANSPOSED):
        return (-2,)
    if isinstance(layer, _LAST_AXIS):
        return (-1,)
    raise ValueError(
        "WeightNormalization knows the kernels of Dense, Conv, ConvTranspose and DepthwiseConv layers: give axis, "
        f"the kernel's axes that count output units, for others. Received: layer={layer}"
    )


def _norm(v: Any, axes: tuple[int, ...]) -> Any:
    return ops.sqrt(ops.maximum(ops.sum(ops.square(v), axis=axes, keepdims=True), 1e-12))


def _on_kernel(wrapper: WeightNormalization, regularizer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The regularizer of w as one of v: the optimizer's loss is computed from the variables."""
    return lambda v: regularizer(wrapper.normalized(v))

"""The `LSUV` initializer, which marks a layer for `start_from_data`, and the kernels that LSUV can rescale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.initializers.orthogonal import Layout, orthonormal
from kerastricks.initializers.patch_whitening import PatchWhitening
from kerastricks.initializers.seeded_initializer import SeededInitializer


@keras.saving.register_keras_serializable(package="kerastricks")
class LSUV(SeededInitializer):
    """Gives an orthonormal kernel, and marks the layer for `start_from_data`, which scales it on real images.

    Alone it is the orthonormal start of Saxe et al.; `kerastricks train` and `start_from_data` then rescale each
    marked kernel until its layer's output has variance 1, and replace the mark by one of Keras's own
    initializers. It helps in deep networks without normalisation, whatever the activation; in front of batch
    normalisation it changes little.

    Args:
        seed: an integer, a `keras.random.SeedGenerator`, or None. With an integer, layers of the same shape get the
            same kernel.

    Call arguments:
        shape: of the kernel, two axes or more: the matrix (everything but the last axis, last axis).
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for a shape with fewer than two axes, or another kind of seed.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.LSUV(seed=0)((3, 3, 8, 16)).shape
        TensorShape([3, 3, 8, 16])

    Reference:
        Mishkin, Matas: All You Need Is a Good Init, ICLR 2016, arXiv 1511.06422, step 1. Saxe, McClelland, Ganguli:
        Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural Networks, ICLR 2014. Deviation:
        a depthwise or grouped kernel is one matrix here and one per channel or group after `start_from_data`.
    """

    def __init__(self, seed: Any = None) -> None:
        super().__init__(seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        if len(shape) < 2:
            raise ValueError(f"LSUV needs a kernel of two axes or more. Received: shape={tuple(shape)}")
        return keras.ops.convert_to_tensor(orthonormal(shape, self.seed), dtype or keras.config.floatx())


DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)

SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)

PLAIN = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)

STARTS = ("kernel_initializer", "depthwise_initializer", "pointwise_initializer")


@dataclass(frozen=True)
class Kernel:
    """One kernel of a layer.

    Args:
        layer: its layer.
        attribute: its name there.
        start: name of the attribute that holds its initializer.
        layout: of the kernel; None for a kind of layer that LSUV does not know.
    """

    layer: keras.layers.Layer
    attribute: str = "kernel"
    start: str = "kernel_initializer"
    layout: Layout | None = "plain"

    @property
    def variable(self) -> Any:
        return getattr(self.layer, self.attribute)

    @property
    def initializer(self) -> Any:
        return getattr(self.layer, self.start, None)

    @property
    def kind(self) -> str:
        name = type(self.layer).__name__
        return name if self.attribute == "kernel" else f"{name} {self.attribute.removesuffix('_kernel')}"

    @property
    def left_alone(self) -> str:
        """Why it is not touched, or ""."""
        if self.layout is None:
            return "a kind of layer that lsuv does not know"
        if self.layer.quantization_mode is not None or not isinstance(self.variable, keras.Variable):
            return "the kernel is not one plain weight (quantized, LoRA)"
        if isinstance(self.initializer, PatchWhitening):
            return "PatchWhitening"
        return "" if self.layer.trainable and self.variable.trainable else "frozen"

    def orthonormal(self, seed: Any) -> np.ndarray:
        """A random orthonormal kernel."""
        groups = getattr(self.layer, "groups", 1)
        return orthonormal(self.variable.shape, seed, self.layout or "plain", groups)

    def pre_activation(self, call: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Pre-activation of the layer's input, computed by the layer's own `call`."""
        layer = self.layer
        if self.attribute == "depthwise_kernel":  # between the two kernels of a separable convolution
            return ops.depthwise_conv(
                args[0],
                layer.depthwise_kernel,
                strides=layer.strides,
                padding=layer.padding,
                data_format=layer.data_format,
                dilation_rate=layer.dilation_rate,
            )
        activation = layer.activation
        layer.activation = None
        try:
            return call(*args, **kwargs)
        finally:
            layer.activation = activation


def kernels_of(layer: keras.layers.Layer) -> list[Kernel]:
    """The kernels of one layer; none for a layer without."""
    if isinstance(layer, DEPTHWISE):
        return [Kernel(layer, start="depthwise_initializer", layout="depthwise")]
    if isinstance(layer, SEPARABLE):
        return [
            Kernel(layer, "depthwise_kernel", "depthwise_initializer", "depthwise"),
            Kernel(layer, "pointwise_kernel", "pointwise_initializer"),
        ]
    if isinstance(layer, PLAIN):
        return [Kernel(layer)]
    return [Kernel(layer, layout=None)] if isinstance(getattr(layer, "kernel", None), keras.Variable) else []


def is_marked(kernel: Kernel) -> bool:
    """Whether the kernel's initializer is `LSUV`."""
    return isinstance(kernel.initializer, LSUV)

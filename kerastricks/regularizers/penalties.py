"""L1, L2 and elastic-net penalties, and the bound on the norm of each unit's incoming weights."""

import math
from dataclasses import dataclass
from numbers import Real

import keras

from kerastricks.errors import UnknownNameError


def check_strength(name: str, value: float, zero: bool = True) -> float:
    """Returns `value` as a float; raises ValueError unless it is finite and 0 or more (above 0 unless `zero`)."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        rule = "0 or more" if zero else "more than 0"
        raise ValueError(f"{name} must be a finite number, {rule}. Received: {name}={value!r}")
    return float(value)


def l1(strength: float) -> keras.regularizers.L1:
    """Adds strength times the sum of the weights' magnitudes to the loss.

    The pull towards 0 is the same for small and large weights, so that many end next to 0 and few inputs
    are used. That helps where most inputs are noise; otherwise `l2` is nearly always better. With SGD the
    weights oscillate around 0 and rarely are exactly 0. It counts in training and in the loss that `evaluate`
    reports.

    Args:
        strength: lambda, 0 or more; 1e-6 to 1e-4 is usual.

    Returns:
        `keras.regularizers.L1(strength)`: a Keras object, so that a saved model loads without kerastricks.

    Raises:
        ValueError: for a strength that is negative or no finite number.

    Example:
        >>> import kerastricks, numpy
        >>> float(kerastricks.regularizers.l1(0.5)(numpy.array([3.0, -4.0], "float32")))  # 0.5 * 7
        3.5

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 6, after CS231n, Neural Networks
        Part 2: lambda |w|. The same as Keras's.
    """
    return keras.regularizers.L1(check_strength("strength", strength))


def l2(strength: float) -> keras.regularizers.L2:
    """Adds strength / 2 times the sum of the squared weights to the loss.

    The gradient of the penalty is strength * w, so that plain SGD shrinks every weight by the factor
    1 - learning rate * strength per step: weight decay. Large single weights cost most; the network uses
    all its inputs a little. It costs accuracy where the model underfits, and under Adam it is not the same as
    decoupled weight decay (`AdamW`). It counts in training and in the loss that `evaluate` reports.

    Args:
        strength: lambda, 0 or more; 1e-5 to 1e-3 is usual, 5e-4 with SGD on small images.

    Returns:
        `keras.regularizers.L2(strength / 2)`: a Keras object, so that a saved model loads without kerastricks.

    Raises:
        ValueError: for a strength that is negative or no finite number.

    Example:
        >>> import kerastricks, numpy
        >>> float(kerastricks.regularizers.l2(0.1)(numpy.array([3.0, 4.0], "float32")))  # 0.1 / 2 * 25
        1.25

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 6, after CS231n, Neural Networks
        Part 2: 1/2 lambda w^2. Keras's own `L2(l)` is l w^2 without the half: `L2(5e-4)` is `l2(1e-3)`.
    """
    return keras.regularizers.L2(check_strength("strength", strength) / 2)


def elastic_net(l1: float, l2: float) -> keras.regularizers.L1L2:
    """Adds l1 times the sum of the weights' magnitudes plus l2 times the sum of their squares to the loss.

    Sparse as L1, but weights of inputs that go together stay together. There is no half before the squares,
    as in the source: `elastic_net(0, l2)` is `l2(2 * l2)`. It counts in training and in the loss that
    `evaluate` reports.

    Args:
        l1: lambda_1, 0 or more.
        l2: lambda_2, 0 or more.

    Returns:
        `keras.regularizers.L1L2(l1, l2)`: a Keras object, so that a saved model loads without kerastricks.

    Raises:
        ValueError: for a strength that is negative or no finite number.

    Example:
        >>> import kerastricks, numpy
        >>> float(kerastricks.regularizers.elastic_net(0.5, 0.1)(numpy.array([3.0, -4.0], "float32")))
        6.0

    Reference:
        Zou, Hastie: Regularization and Variable Selection via the Elastic Net, 2005, section 2.1 (the naive
        form); lambda_1 |w| + lambda_2 w^2 as in Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015,
        section 6, and CS231n, Neural Networks Part 2.
    """
    return keras.regularizers.L1L2(check_strength("l1", l1), check_strength("l2", l2))


# The axes of a kernel that are one unit's incoming weights. A transposed convolution's kernel ends in
# (out, in); a depthwise kernel has one filter for each (channel, multiplier).
AXES: dict[str, list[int]] = {
    "dense": [0],
    "conv1d": [0, 1],
    "conv2d": [0, 1, 2],
    "conv3d": [0, 1, 2, 3],
    "conv1d_transpose": [0, 2],
    "conv2d_transpose": [0, 1, 3],
    "conv3d_transpose": [0, 1, 2, 4],
    "depthwise_conv1d": [0],
    "depthwise_conv2d": [0, 1],
    "embedding": [1],
}

_KINDS: dict[type, str] = {
    keras.layers.Dense: "dense",
    keras.layers.Conv1D: "conv1d",
    keras.layers.Conv2D: "conv2d",
    keras.layers.Conv3D: "conv3d",
    keras.layers.Conv1DTranspose: "conv1d_transpose",
    keras.layers.Conv2DTranspose: "conv2d_transpose",
    keras.layers.Conv3DTranspose: "conv3d_transpose",
    keras.layers.DepthwiseConv1D: "depthwise_conv1d",
    keras.layers.DepthwiseConv2D: "depthwise_conv2d",
    keras.layers.Embedding: "embedding",
    keras.layers.SeparableConv1D: "separable_conv1d",
    keras.layers.SeparableConv2D: "separable_conv2d",
}

# A separable convolution is a depthwise one and an ordinary one of size 1: kinds of its two kernels.
SEPARABLE = {
    "separable_conv1d": {"depthwise": "depthwise_conv1d", "pointwise": "conv1d"},
    "separable_conv2d": {"depthwise": "depthwise_conv2d", "pointwise": "conv2d"},
}


def max_norm(max_value: float = 3.0, kind: str | keras.layers.Layer = "dense") -> keras.constraints.MaxNorm:
    """Scales each unit's incoming weights down to a norm of `max_value` after each step, where they exceed it.

    The weights cannot explode however large the learning rate is, which lets one start with a large rate;
    made for dropout. Units below the bound are left as they are (Keras divides by the norm plus 1e-7, which
    shrinks them by that share). Biases are not bounded. At inference nothing happens.

    Keras's `MaxNorm` sums over axis 0 unless told otherwise, which is right only for dense kernels: for a
    convolution it bounds columns of pixels, not filters.

    Args:
        max_value: c, more than 0; 3 to 4 is usual.
        kind: whose kernel it is for: "dense", "conv1d", "conv2d", "conv3d", the same with "_transpose",
            "depthwise_conv1d", "depthwise_conv2d", "embedding" (each word's vector); or a Keras layer, built
            or not. The two kernels of a separable convolution are "depthwise_conv2d" (`depthwise_constraint`)
            and "conv2d" (`pointwise_constraint`).

    Returns:
        `keras.constraints.MaxNorm(max_value, axis)`: a Keras object, so that a saved model loads without
        kerastricks.

    Raises:
        UnknownNameError: for a kind that is not there.
        ValueError: for a bound that is not positive and finite, a separable convolution, and a layer of
            which the axes are not known (`EinsumDense`, recurrent layers).

    Example:
        >>> import keras, kerastricks
        >>> bound = kerastricks.regularizers.max_norm(3.0, "conv2d")
        >>> layer = keras.layers.Conv2D(8, 3, kernel_constraint=bound)
        >>> bound.axis
        [0, 1, 2]

    Reference:
        Srivastava et al.: Dropout, JMLR 15, 2014, section 5.1: ||w|| <= c. The filter of a convolution over
        all its pixels and channels is one w.
    """
    value = check_strength("max_value", max_value, zero=False)
    if isinstance(kind, keras.layers.Layer):
        found = find_kind(type(kind))
        if found is None:
            raise ValueError(
                f"max_norm knows no axes for {type(kind).__name__} {kind.name!r} (it knows {', '.join(AXES)}): "
                f"use keras.constraints.MaxNorm with the axes of one unit's weights"
            )
        kind = found
    if kind in SEPARABLE:
        parts = SEPARABLE[kind]
        raise ValueError(
            f"{kind} has two kernels: give it depthwise_constraint=max_norm({value:g}, {parts['depthwise']!r}) "
            f"and pointwise_constraint=max_norm({value:g}, {parts['pointwise']!r})"
        )
    if kind not in AXES:
        raise UnknownNameError("kind of layer for max_norm", str(kind), AXES)
    return keras.constraints.MaxNorm(value, list(AXES[kind]))


def find_kind(layer_class: type) -> str | None:
    """The kind of a layer's class or of the one it derives from; None where the axes are not known."""
    return next((_KINDS[base] for base in layer_class.__mro__ if base in _KINDS), None)


@dataclass(frozen=True)
class Regularization:
    """A penalty on kernels, a bound on their norm, both or none.

    `regularizer` is for a layer's `kernel_regularizer`, `constraint(kind)` for its `kernel_constraint`.

    Args:
        regularizer: the penalty; None is none.
        max_value: the bound on each unit's norm; None is none.
    """

    regularizer: keras.Regularizer | None = None
    max_value: float | None = None

    def constraint(self, kind: str | keras.layers.Layer) -> keras.constraints.MaxNorm | None:
        """The bound for a kind of layer, as in `max_norm`; None without one."""
        return None if self.max_value is None else max_norm(self.max_value, kind)

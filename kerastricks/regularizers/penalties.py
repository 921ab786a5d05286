"""A bound on the norm of each unit's incoming weights."""

import keras

from kerastricks.errors import UnknownNameError
from kerastricks.regularizers.strength import check_strength

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

    Keras's `MaxNorm` sums over axis 0 unless told otherwise, which is right for dense kernels alone: for a
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

"""Fan-in and fan-out of kernels: by their shape, and by the layer that asks for them."""

import inspect
from collections.abc import Sequence
from math import prod

import keras

DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)


def fans(shape: Sequence[int], depthwise: bool = False) -> tuple[int, int]:
    """Counts the weights of one output unit (n_in) and those that one input reaches (n_out).

    A kernel (k, k, in, out) has k*k*in and k*k*out, a dense one (in, out) just those. A depthwise kernel
    (k, k, C, multiplier) joins no channels: k*k and k*k*multiplier. Keras counts k*k*C for it, which at C = 64
    makes the weights 8 times too small. A shape does not tell these apart, nor from the kernels of transposed
    convolutions and of `EinsumDense`: the initializers look at the layer that asks, `layer_fans`.

    Args:
        shape: of the kernel in Keras's layout, two axes or more.
        depthwise: whether the last axis is the multiplier of a depthwise convolution.

    Returns:
        (n_in, n_out).

    Raises:
        ValueError: for a shape with fewer than two axes (three if depthwise), or one that is not positive.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.fans((3, 3, 64, 128))
        (576, 1152)
        >>> kerastricks.initializers.fans((3, 3, 64, 2), depthwise=True)
        (9, 18)
    """
    shape = tuple(int(size) for size in shape)
    least = 3 if depthwise else 2
    if len(shape) < least or min(shape) < 1:
        kind = "a depthwise kernel" if depthwise else "a kernel"
        raise ValueError(f"shape must be {kind}'s, with {least} axes or more, each positive. Received: shape={shape}")
    taps = prod(shape[:-2])
    return (taps, taps * shape[-1]) if depthwise else (taps * shape[-2], taps * shape[-1])


def layer_fans(layer: keras.layers.Layer, name: str | None, shape: Sequence[int]) -> tuple[float, float] | None:
    """Counts as `fans`, for a weight of one of Keras's layers whose shape is ambiguous.

    - Depthwise convolutions, and the depthwise kernel of separable ones: each channel by itself.
    - Grouped convolutions: n_out counts the filters of one group.
    - Transposed convolutions (k, k, out, in): n_in = k*k*in / (strides), the mean number of inputs of an output pixel,
      of which each tap meets one in s*s; n_out = k*k*out. Deviation: Keras counts k*k*out and PyTorch the same, as if
      their kernels were those of the convolution that is transposed; then a layer changes the signal's scale. Of a
      convolution with strides n_out is counted without them, as everywhere.
    - `EinsumDense`, and the four of `MultiHeadAttention` and `GroupQueryAttention` that are made of it: n_in is the
      product of the kernel's axes that the equation sums over, n_out of those that are new in the output; axes that
      are in both join nothing.
    - `Embedding`: a look-up joins nothing, n_in = 1.

    Dense, convolution and recurrent kernels are what their shapes say; of the latter n_out counts all gates.

    Args:
        layer: that adds the weight.
        name: of the weight in the layer.
        shape: of the weight.

    Returns:
        (n_in, n_out), or None where the shape says it.
    """
    shape = tuple(int(size) for size in shape)
    taps = prod(shape[:-2])
    if isinstance(layer, keras.layers.Embedding) and name == "embeddings":
        return 1, shape[-1]
    if (isinstance(layer, DEPTHWISE) and name == "kernel") or (
        isinstance(layer, _SEPARABLE) and name == "depthwise_kernel"
    ):
        return fans(shape, depthwise=True)
    if name != "kernel":
        return None
    if isinstance(layer, TRANSPOSED):
        return taps * shape[-1] / prod(layer.strides), taps * shape[-2]
    if isinstance(layer, _CONVOLUTIONS):
        return taps * shape[-2], taps * shape[-1] / layer.groups
    if isinstance(layer, keras.layers.EinsumDense):
        operands, output = layer.equation.replace(".", "").replace(" ", "").split("->")
        inputs, axes = operands.split(",")
        sizes = dict(zip(axes, shape, strict=True))
        summed = prod(size for axis, size in sizes.items() if axis not in output)
        return summed, prod(size for axis, size in sizes.items() if axis not in inputs)
    return None


def asking_layer() -> tuple[keras.layers.Layer, str | None] | None:
    """The layer that is adding a weight now, and the weight's name; None where no layer is.

    Keras tells an initializer the shape and nothing else, and (256, 8, 32) is a kernel of Conv1D as well as of
    attention. The layer is on the call stack.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "add_weight":
            layer = frame.f_locals.get("self")
            if isinstance(layer, keras.layers.Layer):
                return layer, frame.f_locals.get("name")
        frame = frame.f_back
    return None

"""How many values go into and out of a unit."""

from collections.abc import Sequence
from math import prod


def fans(shape: Sequence[int], depthwise: bool = False) -> tuple[int, int]:
    """Counts the weights of one output unit (n_in) and those that one input reaches (n_out).

    A kernel (k, k, in, out) has k*k*in and k*k*out, a dense one (in, out) just those. A depthwise kernel
    (k, k, C, multiplier) joins no channels: k*k and k*k*multiplier. Keras counts k*k*C for it, which at C = 64
    makes the weights 8 times too small. The shape alone does not tell the two apart, so that the caller says it.
    In the kernel of a transposed convolution (k, k, out, in) the two change places.

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

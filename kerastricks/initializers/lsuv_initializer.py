"""The mark of a layer that starts from data, by LSUV."""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.initializers.orthonormal import orthonormal
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

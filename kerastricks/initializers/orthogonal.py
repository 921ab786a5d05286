"""A convolution that starts as an orthogonal mixing of channels, pixel by pixel."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import keras
import numpy as np

from kerastricks.initializers.orthonormal import orthonormal
from kerastricks.initializers.seeded_initializer import SeededInitializer


@keras.saving.register_keras_serializable(package="kerastricks")
class DeltaOrthogonal(SeededInitializer):
    """Gives a convolution kernel that is zero but for its centre, which is a random orthogonal matrix.

    With stride 1 and zero padding the convolution then keeps the norm of every pixel exactly, times `gain`, and
    all singular values of a linear network stay 1: very deep plain networks (10,000 layers with tanh) can be
    trained without normalisation or shortcuts. It hurts where a layer should look at neighbours from the first
    step on, and there is nothing to gain in front of normalisation. The number of filters may not be smaller than
    that of input channels.

    Args:
        gain: the factor of the orthogonal matrix, above 0; see `kerastricks.activations.gain`.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel: (k, in, out), (k, k, in, out) or (k, k, k, in, out), with in <= out. The centre of an
            even k is tap (k - 1) // 2, the one that meets its own pixel under padding="same".
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for a kernel that is no convolution's or has fewer filters than channels, a `gain` that is not
            above 0, or another kind of seed.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.DeltaOrthogonal(seed=0)((3, 3, 8, 16)).shape
        TensorShape([3, 3, 8, 16])

    Reference:
        Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington: Dynamical Isometry and a Mean Field Theory of CNNs,
        ICML 2018, arXiv 1806.05393, algorithm 2. Deviation: an even kernel has a centre, too.
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        super().__init__(seed)
        if not (isfinite(gain) and gain > 0):
            raise ValueError(f"gain must be above 0. Received: gain={gain}")
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        shape = tuple(int(size) for size in shape)
        if not 3 <= len(shape) <= 5 or shape[-2] > shape[-1]:
            raise ValueError(
                "DeltaOrthogonal needs a convolution kernel (k, ..., in, out) with in <= out: use "
                f"keras.initializers.Orthogonal for others. Received: shape={shape}"
            )
        kernel = np.zeros(shape)
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        kernel[centre] = self.gain * orthonormal(shape[-2:], self.seed)
        return keras.ops.convert_to_tensor(kernel, dtype or keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, **super().get_config()}

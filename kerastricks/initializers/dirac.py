"""A convolution that starts by handing its input on."""

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import numpy as np

from kerastricks.initializers.seeded_initializer import SeededInitializer


@keras.saving.register_keras_serializable(package="kerastricks")
class Dirac(SeededInitializer):
    """Gives a convolution kernel whose first filters copy the input channels, one each; the others are random.

    Filter i is 1 at its centre for channel i and 0 elsewhere, as long as there are channels; the filters that are left
    are U(-1/sqrt(n), 1/sqrt(n)) with n = k * k * in. A plain network then starts as if it were shallow, and every layer
    gets the gradient; in the paper's ablation it saves a fifth of the epochs. It hurts in a layer whose input is not
    worth keeping, and in front of another identity, such as a residual branch.

    Args:
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel: (k, in, out), (k, k, in, out) or (k, k, k, in, out). The centre of an even k is tap
            (k - 1) // 2, the one that meets its own pixel under padding="same".
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for a kernel that is no convolution's, or another kind of seed.

    Example:
        >>> import kerastricks
        >>> kernel = kerastricks.initializers.Dirac(seed=0)((3, 3, 2, 4))
        >>> kernel[1, 1, :, :2].numpy().tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    Reference:
        Zagoruyko, Komodakis: DiracNets, arXiv 1706.00388, section 2, for the identity; Jordan: 94% on CIFAR-10 in 3.29
        Seconds on a Single GPU, arXiv 2404.00498, section 3.3, for the partial one: the first `in` filters, the others
        as PyTorch draws them.
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        shape = tuple(int(size) for size in shape)
        if not 3 <= len(shape) <= 5:
            raise ValueError(f"Dirac needs a convolution kernel (k, ..., in, out). Received: shape={shape}")
        limit = prod(shape[:-1]) ** -0.5
        kernel = np.array(keras.ops.convert_to_numpy(self.uniform(shape, limit, "float32")))
        copied = min(shape[-2:])
        kernel[..., :copied] = 0
        kernel[tuple((size - 1) // 2 for size in shape[:-2])][range(copied), range(copied)] = 1
        return keras.ops.convert_to_tensor(kernel, dtype or keras.config.floatx())

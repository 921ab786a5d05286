"""Orthonormal kernels, and the convolutions that start from one: delta-orthogonal and Dirac."""

from collections.abc import Sequence
from math import isfinite, prod
from typing import Any, Literal

import keras
import numpy as np

from kerastricks.initializers.seeded_initializer import SeededInitializer

Layout = Literal["plain", "depthwise"]


def orthonormal(shape: Sequence[int], seed: Any, layout: Layout = "plain", groups: int = 1) -> np.ndarray:
    """A random kernel that is an orthonormal matrix, or several: one per channel or group that it does not join.

    A kernel (k, k, in, out) is the matrix (k*k*in, out), one column per filter; of (k, k, out, in), a transposed
    convolution's, the matrix (k*k*out, in), which is that of the convolution whose transpose it is. In a depthwise
    kernel (k, k, C, multiplier) each channel is a matrix (k*k, multiplier). Columns are orthonormal where there are
    no more of them than rows, otherwise the rows are.

    Args:
        shape: of the kernel, two axes or more.
        seed: an integer or a `keras.random.SeedGenerator`; the draws are NumPy's, the same on every backend.
        layout: "plain" or "depthwise".
        groups: of a grouped convolution, whose last axis they divide.
    """
    shape = tuple(int(size) for size in shape)
    if layout == "depthwise":
        taps, channels, multiplier = prod(shape[:-2]), shape[-2], shape[-1]
        return _matrices((channels, taps, multiplier), seed).transpose(1, 0, 2).reshape(shape)
    rows, columns = prod(shape[:-1]), shape[-1]
    return _matrices((groups, rows, columns // groups), seed).transpose(1, 0, 2).reshape(shape)


def _matrices(shape: tuple[int, int, int], seed: Any) -> np.ndarray:
    """(count, rows, columns), uniform over all such matrices."""
    if isinstance(seed, keras.random.SeedGenerator):
        state = [int(part) for part in keras.ops.convert_to_numpy(seed.next())]
    else:
        state = [int(seed) % 2**64]
    normals = np.random.default_rng(state).normal(size=shape)
    wide = shape[1] < shape[2]
    q, r = np.linalg.qr(normals.transpose(0, 2, 1) if wide else normals)
    # QR fixes the signs in its own way; without this the matrices would not be uniform.
    q = q * np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, None, :]
    return q.transpose(0, 2, 1) if wide else q


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

"""Random matrices with orthonormal rows or columns, in the layouts of Keras's kernels."""

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import keras
import numpy as np

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

"""Orthonormal kernels in Keras's layouts, and DeltaOrthogonal against Xiao et al. 2018."""

import keras
import numpy as np
import pytest

from kerastricks.initializers import LSUV, DeltaOrthogonal
from kerastricks.initializers.orthogonal import orthonormal


def is_orthonormal(matrix):
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    return np.abs(gram - np.eye(len(gram))).max() < 1e-5


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (3, 3, 4, 8), (2, 2, 2, 20), (3, 2, 9), (2, 2, 2, 3, 4)])
def test_plain_kernels_are_one_matrix_with_a_column_per_filter(shape):
    assert is_orthonormal(orthonormal(shape, 1).reshape(-1, shape[-1]))
    assert is_orthonormal(keras.ops.convert_to_numpy(LSUV(seed=1)(shape)).reshape(-1, shape[-1]))


@pytest.mark.parametrize("shape", [(3, 3, 4, 2), (2, 2, 3, 6), (5, 4, 1)])
def test_depthwise_kernels_are_one_matrix_per_channel(shape):
    kernel = orthonormal(shape, 1, "depthwise")
    for channel in range(shape[-2]):
        assert is_orthonormal(kernel[..., channel, :].reshape(-1, shape[-1]))


def test_grouped_kernels_are_one_matrix_per_group():
    kernel = orthonormal((1, 1, 4, 12), 1, groups=3)
    for group in range(3):
        assert is_orthonormal(kernel[0, 0, :, 4 * group : 4 * group + 4])


def test_matrices_are_uniform():
    draws = keras.random.SeedGenerator(0)
    matrices = np.stack([orthonormal((3, 3), draws) for _ in range(1000)])
    # Of a uniform orthogonal matrix every entry has mean 0 and variance 1/3; QR alone leaves signs one-sided.
    assert np.abs(matrices.mean(axis=0)).max() < 5 * np.sqrt(1 / 3 / 1000)
    assert np.abs(matrices.var(axis=0) - 1 / 3).max() < 5 * np.sqrt((1 / 5 - 1 / 9) / 1000)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_delta_orthogonal_convolution_keeps_the_norm_of_every_pixel(size):
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    layer = keras.layers.Conv2D(7, size, padding="same", kernel_initializer=DeltaOrthogonal(1.5, seed=1))
    out = keras.ops.convert_to_numpy(layer(images))
    expected = 1.5 * np.linalg.norm(images, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(out, axis=-1), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 3, 4, 6), (3, 3, 3, 2, 5)])
def test_delta_orthogonal_kernel_is_zero_but_for_its_centre(shape):
    kernel = keras.ops.convert_to_numpy(DeltaOrthogonal(seed=1)(shape))
    centre = (1,) * (len(shape) - 2)
    np.testing.assert_allclose(kernel[centre] @ kernel[centre].T, np.eye(shape[-2]), atol=1e-5)
    assert np.count_nonzero(kernel) == np.count_nonzero(kernel[centre])


@pytest.mark.parametrize("shape", [(4, 6), (3, 3, 6, 4), (1, 1, 1, 1, 4, 6)])
@pytest.mark.tensorflow_only
def test_delta_orthogonal_refuses_other_kernels(shape):
    with pytest.raises(ValueError, match=r"in <= out.*Received"):
        DeltaOrthogonal()(shape)


@pytest.mark.tensorflow_only
def test_lsuv_refuses_a_vector():
    with pytest.raises(ValueError, match=r"two axes.*Received"):
        LSUV()((4,))

"""Dirac: the first filters copy, the others are drawn."""

import keras
import numpy as np
import pytest

from kerastricks.initializers import Dirac, get


def values(shape, seed=0):
    return keras.ops.convert_to_numpy(Dirac(seed)(shape))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_convolution_hands_its_input_on(size):
    images = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype("float32")
    conv = keras.layers.Conv2D(7, size, padding="same", use_bias=False, kernel_initializer=Dirac(1))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(conv(images))[..., :3], images, atol=1e-6)


def test_filters_that_are_left_are_uniform():
    rest = values((3, 3, 64, 256))[..., 64:].ravel()
    limit = 1 / np.sqrt(9 * 64)
    assert np.abs(rest).max() <= limit
    # Standard errors of mean and variance of n uniform draws.
    assert abs(rest.mean()) < 5 * limit / np.sqrt(3 * rest.size)
    assert rest.var() == pytest.approx(limit**2 / 3, rel=5 * np.sqrt(0.8 / rest.size))


def test_fewer_filters_than_channels_copy_the_first_channels():
    kernel = values((3, 3, 5, 2))
    expected = np.zeros((3, 3, 5, 2))
    expected[1, 1, [0, 1], [0, 1]] = 1
    np.testing.assert_array_equal(kernel, expected)


@pytest.mark.tensorflow_only
def test_by_name_and_for_convolutions_alone():
    assert isinstance(get("dirac"), Dirac)
    with pytest.raises(ValueError, match=r"convolution kernel .* Received: shape=\(4, 4\)"):
        Dirac()((4, 4))

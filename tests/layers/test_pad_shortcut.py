"""PadShortcut against NumPy: He et al. 2016, option A."""

import keras
import numpy as np
import pytest

from kerastricks.layers import PadShortcut


@pytest.mark.parametrize(("height", "width", "strides"), [(4, 4, 2), (5, 7, 2), (3, 3, 1)])
def test_strided_pixels_then_zeros(height, width, strides):
    images = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("float32")
    expected = np.zeros((2, -(-height // strides), -(-width // strides), 5), "float32")
    expected[..., :3] = images[:, ::strides, ::strides]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(PadShortcut(5, strides)(images)), expected)


@pytest.mark.tensorflow_only
def test_fewer_filters_than_channels_are_refused():
    with pytest.raises(ValueError, match="filters must be at least the 3 channels"):
        PadShortcut(2)(np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match="strides must be 1 or more"):
        PadShortcut(2, strides=0)


@pytest.mark.tensorflow_only
def test_single_images_are_refused():
    with pytest.raises(ValueError, match=r"PadShortcut needs images.*Received: shape \(4, 4, 3\)"):
        PadShortcut(8)(np.zeros((4, 4, 3)))

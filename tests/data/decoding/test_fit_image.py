"""Images in the size of a model."""

import numpy as np
import pytest
import tensorflow as tf
from image_bytes import HEIGHT, WIDTH, noisy_pixels

from kerastricks.data import fit_image

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize("size", [(8, 8), (8, 20), (33, 5), (100, 90)])
@pytest.mark.parametrize("channels", [1, 3])
def test_fit_image_gives_the_shape_asked_for(size, channels):
    result = fit_image(tf.constant(noisy_pixels()), *size, channels)
    assert result.shape == (*size, channels)
    assert result.dtype == tf.uint8


def test_fit_image_leaves_an_image_of_the_right_size_alone():
    pixels = noisy_pixels()
    np.testing.assert_array_equal(fit_image(tf.constant(pixels), HEIGHT, WIDTH, 3), pixels)


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (21, 60)])
def test_fit_image_takes_the_centre(shape):
    pixels = np.zeros((*shape, 3), "uint8")
    short, top, left = min(shape), (shape[0] - min(shape)) // 2, (shape[1] - min(shape)) // 2
    pixels[top : top + short, left : left + short] = 255
    result = fit_image(tf.constant(pixels), short, short, 3).numpy()
    np.testing.assert_array_equal(result, 255)
    beside = np.roll(pixels, 1, axis=int(shape[1] > shape[0]))
    assert (fit_image(tf.constant(beside), short, short, 3).numpy() == 0).any()


def test_fit_image_averages_when_it_shrinks():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    result = fit_image(tf.constant(np.repeat(board[..., None], 3, -1).astype("uint8")), 8, 8, 3).numpy()
    assert np.abs(result.astype(int) - 127).max() <= 10

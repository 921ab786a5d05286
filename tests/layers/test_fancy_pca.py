"""FancyPCA against a NumPy reference written from Krizhevsky et al. 2012, section 4.1."""

import keras
import numpy as np
import pytest

from kerastricks.layers import FancyPCA
from kerastricks.layers.fancy_pca import IMAGENET_EIGENVALUES, IMAGENET_EIGENVECTORS


def reference(images, alphas, low, high, power=1.0):
    p, values = np.array(IMAGENET_EIGENVECTORS), np.array(IMAGENET_EIGENVALUES) ** power
    result = np.empty(images.shape)
    for i, image in enumerate(images.astype("float64")):
        colour = p @ (alphas[i] * values)  # [p1 p2 p3] [a1 l1, a2 l2, a3 l3]^T
        result[i] = np.clip(image + colour * (high - low), low, high)
    return result


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (-1, 1)])
@pytest.mark.parametrize(("scale", "power"), [("variance", 1.0), ("stddev", 0.5)])
def test_shift_is_the_papers(low, high, scale, power):
    generator = np.random.default_rng(0)
    images = generator.uniform(low, high, (5, 4, 3, 3)).astype("float32")
    alphas = generator.normal(0, 0.1, (5, 3)).astype("float32")
    shifted = FancyPCA(value_range=(low, high), scale=scale).shift(images, alphas)
    expected = reference(images, alphas, low, high, power)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(shifted), expected, rtol=1e-5, atol=1e-5 * (high - low))


def test_every_pixel_of_an_image_gets_one_colour_and_images_differ():
    images = np.full((6, 5, 4, 3), 128, "float32")
    shifts = keras.ops.convert_to_numpy(FancyPCA(0.1, seed=0)(images, training=True)) - images
    assert np.ptp(shifts, axis=(1, 2)).max() == 0
    assert len(np.unique(shifts[:, 0, 0].round(3), axis=0)) == 6


def test_draws_have_the_distribution_of_the_definition():
    images = np.full((20_000, 1, 1, 3), 128, "float32")
    shifted = keras.ops.convert_to_numpy(FancyPCA(0.1, seed=0)(images, training=True))
    shift = (shifted - images).reshape(-1, 3).astype("float64") / 255
    # Projected on the eigenvectors (orthonormal up to their printed digits) the draws are N(0, (0.1 l)^2).
    deviations = (shift @ np.array(IMAGENET_EIGENVECTORS)).std(axis=0) / (0.1 * np.array(IMAGENET_EIGENVALUES))
    np.testing.assert_allclose(deviations, 1, atol=5 / np.sqrt(2 * 20_000) + 5e-3)
    assert np.abs(shift.mean(axis=0)).max() < 5 * 0.1 * 0.2175 / np.sqrt(20_000)


def test_two_uses_differ_and_inference_is_the_identity():
    images = np.full((2, 3, 3, 3), 100, "float32")
    layer = FancyPCA(0.1, seed=0)
    first, second = (keras.ops.convert_to_numpy(layer(images, training=True)) for _ in range(2))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(images)), images)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"stddev": -1}, "stddev"),
        ({"scale": "sigma"}, "scale"),
        ({"value_range": (1, 1)}, "value_range"),
        ({"eigenvalues": (1, 2)}, "eigenvalues"),
    ],
)
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names}.*Received"):
        FancyPCA(**arguments)


def test_grey_images_are_refused():
    with pytest.raises(ValueError, match="FancyPCA needs images"):
        FancyPCA()(np.zeros((1, 2, 2, 1)))

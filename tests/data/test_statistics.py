"""Moments of pixels against NumPy, and that only training pixels are measured."""

import numpy as np
import pytest
from conftest import COLOURS, write_image

from kerastricks import data
from kerastricks.data import PixelStatistics

pytestmark = pytest.mark.tensorflow_only


def photographs(count=7, channels=3):
    """Correlated channels, as colours are."""
    rng = np.random.default_rng(0)
    light = rng.normal(0, 40, (count, 9, 11, 1))
    return np.clip(120 + light + rng.normal(0, 15, (count, 9, 11, channels)), 0, 255).astype("uint8")


def measured(*batches):
    statistics = PixelStatistics(batches[0].shape[-1])
    for images in batches:
        statistics.update(images)
    return statistics


@pytest.mark.parametrize("channels", [1, 3])
def test_moments_equal_numpys(channels):
    images = photographs(channels=channels)
    statistics = measured(images)
    pixels = images.reshape(-1, channels).astype(float)
    np.testing.assert_allclose(statistics.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.std, pixels.std(0), rtol=1e-9)
    np.testing.assert_allclose(
        statistics.covariance, np.cov(pixels.T, bias=True).reshape(channels, channels), rtol=1e-9
    )
    assert statistics.count == len(pixels)


def test_the_size_of_batches_does_not_change_the_result():
    images = photographs()
    whole, parts = measured(images), measured(images[:1], images[1:5], images[5:])
    np.testing.assert_array_equal(whole.covariance, parts.covariance)
    np.testing.assert_array_equal(whole.mean, parts.mean)


def test_partial_results_add_up_and_stay_as_they_are():
    images = photographs()
    first, second = measured(images[:3]), measured(images[3:])
    count = first.count
    both = first + second
    np.testing.assert_array_equal(both.covariance, measured(images).covariance)
    assert both.count == measured(images).count
    assert first.count == count


def test_eigenpairs_are_those_of_pixels_in_zero_one():
    images = photographs()
    values, vectors = measured(images).eigen()
    expected, _ = np.linalg.eigh(np.cov(images.reshape(-1, 3).T / 255.0, bias=True))
    np.testing.assert_allclose(values, expected[::-1], rtol=1e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    covariance = np.cov(images.reshape(-1, 3).T / 255.0, bias=True)
    np.testing.assert_allclose(vectors * values @ vectors.T, covariance, atol=1e-12)
    assert (np.diff(values) <= 0).all()


def test_a_channel_that_never_changes_has_std_one():
    images = photographs()
    images[..., 1] = 77
    std = measured(images).std
    assert std[1] == 1
    np.testing.assert_allclose(std[[0, 2]], images.reshape(-1, 3).std(0)[[0, 2]])


def test_constant_images_have_no_negative_eigenvalue():
    values, _ = measured(np.full((3, 4, 4, 3), 201, "uint8")).eigen()
    assert (values >= 0).all()


def load_training_pixels(loaded):
    return np.concatenate([images.numpy() for images, _ in loaded.splits["train"].evaluation()])


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_load_measures_the_training_split(split_folder, memory_bytes):
    loaded = data.load(split_folder, memory_bytes=memory_bytes)
    pixels = load_training_pixels(loaded).reshape(-1, 3)
    assert len(pixels) == 30 * 20 * 24
    np.testing.assert_allclose(loaded.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(loaded.std, pixels.std(0), rtol=1e-9)


def test_made_splits_are_not_measured_with_training(image_folder):
    loaded = data.load(image_folder, validation=0.3, test=0.3)
    pixels = load_training_pixels(loaded).reshape(-1, 3)
    assert len(pixels) == 12 * 20 * 24
    np.testing.assert_allclose(loaded.mean, pixels.mean(0), rtol=1e-12)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_other_splits_do_not_change_the_statistics(split_folder, split):
    before = data.load(split_folder)
    for name in COLOURS:
        for index in range(20):
            write_image(split_folder / split / name / f"{index:02}.png", (255, 255, 0), seed=index)
    after = data.load(split_folder)
    assert after.fingerprint != before.fingerprint
    np.testing.assert_array_equal(after.statistics.covariance, before.statistics.covariance)
    np.testing.assert_array_equal(after.mean, before.mean)


def test_the_training_split_changes_the_statistics(split_folder):
    before = data.load(split_folder)
    write_image(split_folder / "train" / "red" / "00.png", (255, 255, 0))
    assert (data.load(split_folder).mean != before.mean).any()

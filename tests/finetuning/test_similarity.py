"""The scores of one layer, and those of pixels."""

import numpy as np
import pytest
from PIL import Image

from kerastricks.errors import DataError
from kerastricks.finetuning.measurement import _small, measure_layer, pixel_baseline
from kerastricks.probes.linear import linear_probe
from kerastricks.probes.transferability import logme, nearest_centroid

pytestmark = pytest.mark.tensorflow_only


def layer(seed, count=90):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return (np.eye(3)[labels] + generator.normal(0, 0.5, (count, 3))).astype("float32"), labels


def test_a_layers_scores_are_the_three_measures():
    (features, labels), (others, other_labels) = layer(0), layer(1)
    score = measure_layer("top", features, labels, others, other_labels, 3, seed=4)
    probe = linear_probe(features, labels, others, other_labels, 3, seed=4)
    assert (score.layer, score.dims, score.probe.accuracy) == ("top", 3, probe.accuracy)
    assert score.centroid == nearest_centroid(features, labels, others, other_labels, 3, seed=4)
    assert score.logme == logme(features, labels, 3, seed=4)


def test_one_image_per_class_has_no_evidence():
    features, labels = layer(0, count=3)
    assert measure_layer("top", features, labels, features, labels, 3).logme is None


def test_an_error_names_the_layer():
    features, labels = layer(0)
    broken = np.where(np.arange(90)[:, None] == 5, np.nan, features)
    with pytest.raises(DataError, match=r"^features of layer 'block_3' must be finite\..* row 5"):
        measure_layer("block_3", broken, labels, features, labels, 3)
    with pytest.raises(DataError, match=r"^validation features of layer 'block_3'"):
        measure_layer("block_3", features, labels, broken, labels, 3)


@pytest.mark.parametrize("shape", [(48, 32), (8, 8), (20, 37)])
def test_small_pixels_are_means_of_areas(shape):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), "uint8")
    side = [min(number, 16) for number in shape]
    found = _small(images, 16).reshape(3, *side, 3)
    for image, small in zip(images, found, strict=True):
        for channel in range(3):
            expected = Image.fromarray(image[..., channel].astype("float32")).resize(side[::-1], Image.Resampling.BOX)
            # Pillow's box takes or leaves a pixel whole where an edge cuts it; only then do the two differ.
            whole = all(number % wanted == 0 for number, wanted in zip(shape, side, strict=True))
            if whole:
                np.testing.assert_allclose(small[..., channel], np.asarray(expected) / 255, atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=(1, 2)), images.mean(axis=(1, 2)) / 255, atol=1e-5)


def test_pixels_tell_colours_apart_and_not_noise():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    noise = generator.integers(0, 60, (60, 20, 24, 3))
    coloured = (noise + 150 * np.eye(3, dtype=int)[labels][:, None, None]).astype("uint8")
    score = pixel_baseline(coloured[:30], labels[:30], coloured[30:], labels[30:], 3)
    assert (score.layer, score.dims) == ("pixels", 16 * 16 * 3)
    assert score.probe.accuracy.value == score.centroid.value == 1
    chance = pixel_baseline(noise[:30].astype("uint8"), labels[:30], noise[30:].astype("uint8"), labels[30:], 3)
    assert chance.probe.accuracy.value < 1 / 3 + 4 * np.sqrt(2 / 9 / 30)


def test_images_of_another_shape():
    with pytest.raises(DataError, match=r"images must be \(N, height, width, channels\)\. Received: shape \(4, 8, 8\)"):
        pixel_baseline(np.zeros((4, 8, 8)), np.arange(4), np.zeros((4, 8, 8)), np.arange(4), 4)

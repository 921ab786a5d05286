"""Near duplicates: variants of an image are found, other images are not, and not all pairs are compared."""

import io

import numpy as np
import pytest
from PIL import Image
from planted_images import picture, variants

from kerastricks.data_check.near_pairs import candidate_pairs, near_pairs, pair_measures
from kerastricks.data_check.thumbnails import BYTES, hash_vectors, perceptual_hash

pytestmark = pytest.mark.tensorflow_only


def hashes_of(images):
    return np.stack([perceptual_hash(image.convert("RGB")) for image in images])


def test_variants_are_near_and_others_are_not():
    originals = [picture(seed) for seed in range(30)]
    changed = [Image.open(io.BytesIO(data)) for seed in range(10) for data in variants(originals[seed]).values()]
    hashes = hashes_of(originals + changed)
    assert hashes.shape == (70, BYTES)
    assert hashes.dtype == np.uint8
    pairs, correlations = near_pairs(hashes, np.full(70, 96))
    groups = [number if number < 30 else (number - 30) // 4 for number in range(70)]
    assert all(groups[first] == groups[second] for first, second in pairs.tolist())
    with_original = {second for first, second in pairs.tolist() if first < 30 <= second}
    assert with_original == set(range(30, 70))
    assert (correlations > 0.95).all()


def test_another_colour_is_another_image():
    image = picture(3)
    red, green, blue = image.split()
    pairs, _ = near_pairs(hashes_of([image, Image.merge("RGB", (blue, green, red))]), np.full(2, 96))
    assert not len(pairs)


def changed(how, amount):
    """A picture and the same one with other shading, another texture, or another tint of the same luma."""
    pixels = np.asarray(picture(3)).astype(float)
    rows, columns = np.mgrid[:96, :96] / 96
    if how == "shading":
        pixels_2 = pixels + amount * (np.sin(2 * np.pi * columns) * np.cos(np.pi * rows))[..., None]
    elif how == "texture":
        noise = np.random.default_rng(0).normal(0, amount, (8, 4, 8, 4))
        noise = (noise - noise.mean(axis=(1, 3), keepdims=True)).reshape(32, 32)  # of no coarse difference
        pixels_2 = pixels + np.kron(noise, np.ones((3, 3)))[..., None]
    else:
        pixels_2 = pixels + amount * np.array([0.114, 0, -0.299])
    images = [Image.fromarray(np.clip(one, 0, 255).astype("uint8")) for one in (pixels, pixels_2)]
    return hashes_of(images)


@pytest.mark.parametrize(
    ("side", "how", "amount", "refused_by"),
    [
        (96, "shading", 12, "whole"),
        (96, "texture", 9, "detail"),
        (96, "tint", 60, "chroma"),
        (40, "shading", 20, "whole"),
        (40, "texture", 17, "detail"),
        (40, "tint", 120, "chroma"),
    ],
)
def test_each_measure_refuses_by_itself(side, how, amount, refused_by):
    hashes = changed(how, amount)
    whole, detail, chroma = (float(one[0]) for one in pair_measures(hashes[:1], hashes[1:]))
    limits = (0.986, 0.96, 5.0) if side == 96 else (0.965, 0.88, 8.0)
    fails = {"whole": whole < limits[0], "detail": detail < limits[1], "chroma": chroma > limits[2]}
    assert [name for name, failed in fails.items() if failed] == [refused_by], (whole, detail, chroma)
    assert not len(near_pairs(hashes, np.full(2, side))[0])
    less = changed(how, amount / 4)
    assert len(near_pairs(less, np.full(2, side))[0]) == 1


def test_images_of_one_colour_are_near_nothing():
    hashes = hashes_of([Image.new("RGB", (40, 40), (level, level, level)) for level in (0, 0, 90)])
    assert np.abs(hash_vectors(hashes)).max() < 1e-2
    assert not len(near_pairs(hashes, np.full(3, 40))[0])


def test_clusters_find_what_a_comparison_of_all_pairs_finds(monkeypatch):
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(3000, 63)).astype("float32")
    vectors[1500:1700] = vectors[:200] + 0.3 * generator.normal(size=(200, 63))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fast = {tuple(pair) for pair in candidate_pairs(vectors).tolist()}
    monkeypatch.setattr("kerastricks.data_check.near_pairs._ALL_PAIRS", 3000)
    slow = {tuple(pair) for pair in candidate_pairs(vectors).tolist()}
    assert {(index, 1500 + index) for index in range(200)} <= slow
    assert fast <= slow
    assert len(fast) >= 190


def test_no_images_have_no_pairs():
    pairs, correlations = near_pairs(np.zeros((0, BYTES), np.uint8), np.zeros(0))
    assert pairs.shape == (0, 2)
    assert correlations.shape == (0,)

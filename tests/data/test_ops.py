"""Host ops against NumPy, and their draws by distribution."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kerastricks.data import PixelStatistics
from kerastricks.data.ops import OPS
from kerastricks.data.ops.fancy_pca import FancyPCAOp
from kerastricks.data.ops.flip import Flip
from kerastricks.data.ops.pad_crop import PadCrop
from kerastricks.data.ops.random_resized_crop import RandomResizedCrop
from kerastricks.errors import SpecError

pytestmark = pytest.mark.tensorflow_only

SEED = tf.constant([3, 4], tf.int64)


def noise(count, height=7, width=6, channels=3):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels)).astype("uint8")


def positions(count, height, width):
    """Each pixel holds its own place (row, column, 255), so that a crop tells where it was cut."""
    y, x = np.mgrid[:height, :width]
    return np.repeat(np.stack([y, x, np.full_like(y, 255)], -1)[None], count, 0).astype("uint8")


def test_flip_mirrors_whole_images_or_leaves_them():
    images = noise(64)
    result = Flip(0.5)(tf.constant(images), SEED).numpy()
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (result == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert mirrored.any()
    assert same.any()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_flip_mirrors_at_its_rate(rate):
    count = 4000
    images = np.tile(np.array([0, 1], "uint8").reshape(1, 1, 2, 1), (count, 1, 1, 1))
    flipped = Flip(rate)(tf.constant(images), SEED).numpy()[:, 0, 0, 0].mean()
    assert abs(flipped - rate) <= 4 * math.sqrt(rate * (1 - rate) / count)


@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("pixels", [0, 1, 3])
def test_pad_crop_equals_pad_and_slice_at_every_offset(mode, pixels):
    images = noise(600)
    result = PadCrop(pixels, mode)(tf.constant(images), SEED).numpy()
    border = [(0, 0), (pixels, pixels), (pixels, pixels), (0, 0)]
    padded = np.pad(images, border, **({"mode": "reflect"} if mode == "reflect" else {}))
    seen = set()
    for index, image in enumerate(result):
        places = [
            (y, x)
            for y in range(2 * pixels + 1)
            for x in range(2 * pixels + 1)
            if (padded[index, y : y + 7, x : x + 6] == image).all()
        ]
        assert len(places) == 1
        seen.add(places[0])
    # 49 offsets, 600 draws: one stays away with probability 49 * (48 / 49)^600 = 2e-4, and the seed is fixed.
    assert len(seen) == (2 * pixels + 1) ** 2


def test_pad_crop_draws_offsets_uniformly_and_per_image():
    count, pixels = 5000, 2
    result = PadCrop(pixels)(tf.constant(positions(count, 9, 9)), SEED).numpy()
    centre = result[:, 4, 4, :2].astype(int) - 4 + pixels  # offsets of (row, column), 0 to 4
    observed = np.bincount(centre[:, 0] * 5 + centre[:, 1], minlength=25)
    chi_square = ((observed - count / 25) ** 2 / (count / 25)).sum()
    # 24 degrees of freedom: mean 24, standard deviation sqrt(48).
    assert chi_square < 24 + 5 * math.sqrt(48)


@pytest.mark.parametrize("op", [Flip(), PadCrop(2), PadCrop(2, "reflect"), RandomResizedCrop()])
def test_ops_keep_shape_and_dtype(op):
    result = op(tf.constant(noise(5)), SEED)
    assert result.shape == (5, 7, 6, 3)
    assert result.dtype == tf.uint8


@pytest.mark.parametrize("op", [Flip(), PadCrop(2), PadCrop(2, "reflect"), RandomResizedCrop()])
def test_ops_give_the_same_directly_and_inside_a_map(op):
    images = tf.constant(noise(16))
    mapped = tf.data.Dataset.from_tensors(images).map(lambda batch: op(batch, SEED))
    np.testing.assert_array_equal(next(iter(mapped)), op(images, SEED))


@pytest.mark.parametrize("op", [Flip(), PadCrop(2), RandomResizedCrop()])
def test_the_seed_decides_the_draws(op):
    images = tf.constant(noise(64))
    first = op(images, SEED).numpy()
    np.testing.assert_array_equal(first, op(images, SEED))
    assert (first != op(images, tf.constant([3, 5], tf.int64)).numpy()).any()


def boxes_of(op, count=1000, side=64):
    """Area, ratio (width / height) and centre of each box as fractions, read off a crop of a linear ramp."""
    result = op(tf.constant(positions(count, side, side)[..., :2]), SEED).numpy().astype(float)
    low, high = result[:, 0, 0], result[:, -1, -1]
    height, width = ((high - low) / (side - 1)).T
    return height * width, width / height, (low + high) / 2 / (side - 1)


def test_random_resized_crop_draws_its_area_uniformly_within_bounds():
    low, high = 0.2, 0.7
    area, _, _ = boxes_of(RandomResizedCrop(low, high, 1.0))
    rounding = 0.04  # positions are whole numbers of 64
    assert area.min() > low - rounding
    assert area.max() < high + rounding
    mean, std = (low + high) / 2, (high - low) / math.sqrt(12)
    assert abs(area.mean() - mean) < 4 * std / math.sqrt(len(area)) + rounding / 4
    assert abs(area.std() - std) < 0.1 * std


def test_random_resized_crop_draws_its_ratio_within_bounds():
    _, ratio, _ = boxes_of(RandomResizedCrop(0.2, 0.4, 2.0))
    assert ratio.min() > 0.5 - 0.05
    assert ratio.max() < 2 + 0.15
    # log-uniform in [1/2, 2]: mean 0, standard deviation 2 log 2 / sqrt(12).
    std = 2 * math.log(2) / math.sqrt(12)
    assert abs(np.log(ratio).mean()) < 4 * std / math.sqrt(len(ratio))
    assert abs(np.log(ratio).std() - std) < 0.1 * std


def test_random_resized_crop_lies_inside_at_any_place():
    _, _, centre = boxes_of(RandomResizedCrop(0.25, 0.25, 1.0))
    # A half-sided box: its centre is uniform in [1/4, 3/4] in both directions.
    std = 0.5 / math.sqrt(12)
    assert np.abs(centre.mean(0) - 0.5).max() < 4 * std / math.sqrt(len(centre)) + 0.002
    assert np.abs(centre.std(0) - std).max() < 0.1 * std
    assert centre.min() > 0.23
    assert centre.max() < 0.77


def test_random_resized_crop_of_the_whole_is_the_identity():
    images = noise(8)
    np.testing.assert_array_equal(RandomResizedCrop(1.0, 1.0, 1.0)(tf.constant(images), SEED), images)


def fitted():
    statistics = PixelStatistics(3)
    light = np.random.default_rng(0).normal(0, 50, (20, 8, 8, 1)) * [1.0, 0.8, 0.4]
    statistics.update(np.clip(128 + light + noise(20, 8, 8) / 9, 0, 255).astype("uint8"))
    return statistics


@pytest.mark.parametrize("scale", ["variance", "stddev"])
def test_fancy_pca_adds_one_colour_along_the_fitted_components(scale):
    statistics, op, count = fitted(), FancyPCAOp(0.5, scale), 4000
    values, vectors = statistics.eigen()
    grey = np.full((count, 2, 3, 3), 128, "uint8")
    shifts = op.apply(op.layer(statistics, 1), tf.constant(grey), SEED).numpy() - 128.0
    np.testing.assert_allclose(shifts, np.broadcast_to(shifts[:, :1, :1], shifts.shape), atol=1e-4)
    drawn = shifts[:, 0, 0] / 255 @ vectors  # one column per component
    expected = 0.5 * (values if scale == "variance" else np.sqrt(values))
    # A sample standard deviation of n normal draws spreads by sigma / sqrt(2 n); 128 is five of the largest.
    assert 255 * expected[0] < 128 / 3.5
    bound = 5 / math.sqrt(2 * count)
    np.testing.assert_allclose(drawn.std(0), expected, rtol=bound + 0.01)
    assert (np.abs(drawn.mean(0)) < 5 * expected / math.sqrt(count)).all()


@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("flip", (1.5,), r"flip: rate must be in \[0, 1\]\. Received: rate=1\.5"),
        ("flip", (-0.1,), r"flip: rate must be in \[0, 1\]"),
        ("flip", (float("nan"),), r"flip: rate must be in \[0, 1\]"),
        ("pad_crop", (-1,), r"pad_crop: pixels must be an integer, 0 or more\. Received: pixels=-1"),
        ("pad_crop", (1.5,), r"pad_crop: pixels must be an integer"),
        ("pad_crop", (1, "same"), r"pad_crop: mode must be one of \['reflect', 'zero'\]\. Received: mode='same'"),
        ("random_resized_crop", (0,), r"0 < low <= high <= 1\. Received: low=0, high=1"),
        ("random_resized_crop", (0.8, 0.5), r"0 < low <= high <= 1"),
        ("random_resized_crop", (0.5, 1.0, 0.9), r"max_ratio must be 1 or more\. Received: max_ratio=0\.9"),
    ],
)
def test_an_illegal_argument_names_the_op_and_the_argument(op, arguments, message):
    with pytest.raises(SpecError, match=message):
        OPS[op](*arguments)


def test_pad_crop_reflect_needs_an_image_larger_than_its_border():
    with pytest.raises(SpecError, match=r"reflect needs fewer pixels than the side, 6\. Received: 6"):
        PadCrop(6, "reflect").check((6, 9, 3))

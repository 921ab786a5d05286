"""Ops that move whole pixels: flips, shifts, crops."""

import math

import numpy as np
import pytest
from conftest import tensorflow_case
from plan_runs import (
    applied,
    are_equally_frequent,
    are_independent,
    check_everywhere,
    noise,
    on_device,
    op_of,
    parameters_of,
    plan_of,
    uniforms,
    with_parameters,
)

from kerastricks.augment.op import ImageSpec
from kerastricks.augment.ops import OPS
from kerastricks.augment.ops.flips import AlternatingFlip
from kerastricks.errors import SpecError

EVERY = [
    "flip",
    "vertical_flip",
    "pad_crop(4)",
    "pad_crop(8, 'reflect')",
    "translate(0.3)",
    "translate(1.0, 'reflect')",
    "translate(0.5, 'nearest')",
    "alternating_flip(5)",
]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", EVERY)
def test_host_and_device_give_the_same_pixels(text):
    check_everywhere(text, noise(24), atol=0)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", [text for text in EVERY if "alternating" not in text])
def test_neutral_parameters_change_nothing(text):
    images = noise(3)
    op = op_of(text, images)
    assert set(parameters_of(op, 3)) == set(op.neutral)
    neutral = with_parameters(op, **{name: [value] * 3 for name, value in op.neutral.items()})
    np.testing.assert_array_equal(applied(neutral, images), images)


@pytest.mark.parametrize(("name", "mirrored"), [("flip", np.s_[:, ::-1]), ("vertical_flip", np.s_[::-1])])
def test_flips_mirror_whole_images(name, mirrored):
    images = noise(4)
    result = applied(with_parameters(op_of(name, images), flipped=[1, 0, 0, 1]), images)
    for i, flipped in enumerate([True, False, False, True]):
        np.testing.assert_array_equal(result[i], images[i][mirrored] if flipped else images[i])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["flip", "vertical_flip"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_flips_have_their_rate(name, rate):
    count = 4000
    flipped = parameters_of(op_of(f"{name}({rate})", noise(2)), count)["flipped"]
    assert set(np.unique(flipped)) <= {0, 1}
    assert abs(flipped.mean() - rate) <= 5 * math.sqrt(rate * (1 - rate) / count)
    assert rate in (0, 1) or are_independent(flipped)


def seen(image, y, x, outside):
    """The pixel at a place that may lie outside of an image."""
    height, width = image.shape[:2]
    if outside == "black" and not (0 <= y < height and 0 <= x < width):
        return np.zeros(image.shape[-1])
    if outside == "nearest":
        return image[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
    places = []
    for place, size in ((y, height), (x, width)):
        while not 0 <= place < size:  # mirrored at the middle of the edge pixels
            place = -place if place < 0 else 2 * (size - 1) - place
        places.append(place)
    return image[places[0], places[1]]


@pytest.mark.parametrize("outside", ["black", "reflect", "nearest"])
def test_translate_moves_the_image_down_and_right(outside):
    images = noise(6)
    height, width = images.shape[1:3]
    down, right = [0, 2, -3, 9, -9, 5], [0, -4, 1, 12, -12, 0]
    op = with_parameters(op_of(f"translate(0.5, {outside!r})", images), down=down, right=right)
    result = applied(op, images)
    for i in range(6):
        for y in range(height):
            for x in range(width):
                expected = seen(images[i], y - down[i], x - right[i], outside)
                np.testing.assert_array_equal(result[i, y, x], expected)


@pytest.mark.parametrize(("mode", "padding"), [("zero", "constant"), ("reflect", "reflect"), ("edge", "edge")])
def test_pad_crop_cuts_a_window_out_of_the_padded_image(mode, padding):
    images = noise(40)
    height, width = images.shape[1:3]
    op = op_of(f"pad_crop(8, {mode!r})", images)
    plan = plan_of(f"pad_crop(8, {mode!r})", images)
    drawn = parameters_of(op, 40)
    result = on_device(plan, images, uniforms(plan, 40))[0]
    for i in range(40):
        padded = np.pad(images[i], ((8, 8), (8, 8), (0, 0)), padding)
        y, x = int(drawn["down"][i]) + 8, int(drawn["right"][i]) + 8
        np.testing.assert_array_equal(result[i], padded[y : y + height, x : x + width])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "rows", "columns"),
    [("pad_crop(3)", 3, 3), ("translate(0.3)", 3, 4), ("translate(0.05)", 0, 1), ("translate(0.0)", 0, 0)],
)
def test_shifts_are_uniform_whole_pixels_drawn_per_image(text, rows, columns):
    images = noise(1, 9, 13)  # 0.3 of it are 2.7 and 3.9 pixels; 0.05 are 0.45 and 0.65
    drawn = parameters_of(op_of(text, images), 10_000)
    assert are_equally_frequent(drawn["down"], np.arange(-rows, rows + 1))
    assert are_equally_frequent(drawn["right"], np.arange(-columns, columns + 1))
    assert rows == 0 or are_independent(drawn["down"], drawn["right"])


def flipped(seed, epoch, index):
    place = {"epoch": np.int32(epoch), "index": np.asarray(index, "int32")}
    return parameters_of(AlternatingFlip(seed), len(index), **place)["flipped"]


@pytest.mark.parametrize("start", [0, 2**15 - 500, 2**30, 2**31 - 20_000])
@pytest.mark.parametrize("seed", [tensorflow_case(0), tensorflow_case(1), 10**20])
def test_alternating_flip_begins_with_half_of_the_images(start, seed):
    count = 20_000
    first = flipped(seed, 0, np.arange(start, start + count))
    bound = 5 / math.sqrt(count)
    assert set(np.unique(first)) == {0, 1}
    assert abs(first.mean() - 0.5) < bound / 2
    # Neither neighbours nor those at other distances hang together.
    for distance in (1, 2, 3, 10, 256, 1024):
        assert abs(np.corrcoef(first[distance:], first[:-distance])[0, 1]) < bound
    # Nor other seeds and other stretches of indices.
    assert abs(np.corrcoef(first, flipped(seed + 1, 0, np.arange(start, start + count)))[0, 1]) < bound
    assert abs(np.corrcoef(first, flipped(seed, 0, np.arange(count) + start // 2 + 40_000))[0, 1]) < bound


@pytest.mark.tensorflow_only
def test_alternating_flip_shows_both_sides_in_any_two_epochs():
    index = np.random.default_rng(0).permutation(1000)
    first = flipped(3, 0, index)
    for epoch in (1, 2, 3, 40, 2**31 - 1):
        np.testing.assert_array_equal(flipped(3, epoch, index), 1 - first if epoch % 2 else first)


def test_alternating_flip_is_the_hash_in_whole_numbers_of_any_size():
    """So that a run goes on with the same images under another backend, processor or version."""
    index = np.r_[np.arange(50), 2**15 + np.arange(50), 2**31 - 1 - np.arange(50)]
    for seed in (0, 7):
        keys = [int(key) for key in np.random.SeedSequence(seed).generate_state(3)]
        expected = []
        for i in map(int, index):
            x = pow(i % 2**15 + keys[0], 3, 46337)
            x = pow(x + i // 2**15 + keys[1], 3, 46337)
            expected.append(pow(x + keys[2], 3, 46337) % 2)
        np.testing.assert_array_equal(flipped(seed, 0, index), expected)


def test_alternating_flip_mirrors_the_images_of_its_index():
    images, index = noise(12), np.arange(100, 112, dtype="int32")
    plan = plan_of("alternating_flip(3)", images)
    assert plan.needs_place
    result = on_device(plan, images, uniforms(plan, 12), epoch=1, index=index)[0]
    for i, is_flipped in enumerate(flipped(3, 1, index)):
        np.testing.assert_array_equal(result[i], images[i, :, ::-1] if is_flipped else images[i])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("flip", (1.5,), r"flip: rate must be in \[0, 1\]\. Received: rate=1\.5"),
        ("flip", (float("nan"),), r"flip: rate must be in \[0, 1\]"),
        ("vertical_flip", (-0.1,), r"vertical_flip: rate must be in \[0, 1\]\. Received: rate=-0\.1"),
        ("pad_crop", (-1,), r"pad_crop: pixels must be an integer, 0 or more\. Received: pixels=-1"),
        ("pad_crop", (1.5,), r"pad_crop: pixels must be an integer"),
        ("pad_crop", (True,), r"pad_crop: pixels must be an integer"),
        (
            "pad_crop",
            (1, "same"),
            r"pad_crop: mode must be one of \['edge', 'reflect', 'zero'\]\. Received: mode='same",
        ),
        ("translate", (1.1,), r"translate: fraction must be in \[0, 1\]\. Received: fraction=1\.1"),
        ("translate", (0.1, "white"), r"translate: outside must be one of .* Received: outside='white'"),
        ("alternating_flip", (-1,), r"alternating_flip: seed must be an integer, 0 or more\. Received: seed=-1"),
        ("alternating_flip", (0.5,), r"alternating_flip: seed must be an integer"),
    ],
)
def test_an_illegal_argument_names_the_op_and_the_argument(op, arguments, message):
    with pytest.raises(SpecError, match=message):
        OPS[op](*arguments)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("pad_crop", (6,), r"pad_crop: pixels must be below the image's side, 6\. Received: pixels=6"),
        ("translate", (0.05,), r"translate: fraction must be a pixel or more of images of 9x6\. Received: .*0\.05"),
    ],
)
def test_images_too_small_are_refused(op, arguments, message):
    with pytest.raises(SpecError, match=message):
        OPS[op](*arguments).bind(ImageSpec((9, 6, 3)))

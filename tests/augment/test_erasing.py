"""Erase and cutout: what is painted over, how it is drawn."""

import math

import numpy as np
import pytest
from conftest import tensorflow_case
from plan_runs import (
    applied,
    are_equally_frequent,
    are_independent,
    check_everywhere,
    image_spec_of,
    is_uniform,
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
from kerastricks.errors import SpecError


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    "text", ["erase(0.7)", "erase(0.7, fill='mean')", "erase(0.7, fill='colour')", "cutout(5, 'mean')"]
)
def test_host_and_device_give_the_same_pixels(text):
    check_everywhere(text, noise(24), atol=0)


def painted_by_loop(image, box, colour):
    top, bottom, left, right = box
    result = image.copy()
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if top <= y < bottom and left <= x < right:
                result[y, x] = colour
    return result


@pytest.mark.parametrize("dtype", ["uint8", tensorflow_case("float32")])
@pytest.mark.parametrize("channels", [tensorflow_case(1), 3])
@pytest.mark.parametrize("fill", ["black", "mean", "colour"])
def test_erase_paints_its_box(fill, channels, dtype):
    images = noise(4, channels=channels).astype(dtype)
    box = {"top": [0, 2, 8, 3], "bottom": [9, 5, 9, 3], "left": [0, 0, 11, 4], "right": [12, 7, 12, 4]}
    colours = np.arange(4 * channels).reshape(4, channels) * 10
    op = with_parameters(op_of(f"erase(fill={fill!r})", images), **box, colour=colours)
    result = applied(op, images)
    assert result.dtype == dtype
    mean = image_spec_of(images).statistics.mean
    for i in range(4):
        colour = {"black": 0, "mean": np.round(mean), "colour": colours[i]}[fill]
        expected = painted_by_loop(images[i], [edges[i] for edges in box.values()], colour)
        np.testing.assert_array_equal(result[i], expected)
    np.testing.assert_array_equal(result[3], images[3])  # an empty box


def drawn(text, height, width, count=10_000):
    """Rows, columns, heights and widths of erased boxes."""
    parameters = parameters_of(OPS["erase"](*text).bind(ImageSpec((height, width, 3))), count)
    top, bottom, left, right = (parameters[name].astype("float64") for name in ("top", "bottom", "left", "right"))
    assert top.min() >= 0
    assert left.min() >= 0
    assert bottom.max() <= height
    assert right.max() <= width
    assert all((edge == np.round(edge)).all() for edge in (top, bottom, left, right))
    return top, left, bottom - top, right - left


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9, 1.0])
def test_erase_has_its_rate_and_an_empty_box_otherwise(rate):
    count = 4000
    _, _, tall, wide = drawn((rate,), 32, 32, count)
    erased = tall * wide > 0
    np.testing.assert_array_equal(tall > 0, wide > 0)
    assert abs(erased.mean() - rate) <= 5 * math.sqrt(rate * (1 - rate) / count)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("height", "width"), [(2000, 2000), (1500, 3000)])
def test_erase_draws_area_aspect_and_place_as_the_definition_says(height, width):
    top, left, tall, wide = drawn((1.0, (0.1, 0.2), 3.0), height, width)  # all such boxes fit
    area, log_aspect = tall * wide / (height * width), np.log(wide / tall)
    rounded = 0.01  # sides are whole pixels
    assert is_uniform(area, 0.1, 0.2, rounded)
    assert is_uniform(log_aspect, -math.log(3), math.log(3), rounded)
    down, right = top / (height - tall), left / (width - wide)
    assert is_uniform(down, 0, 1)
    assert is_uniform(right, 0, 1)
    assert are_independent(area, log_aspect, down, right)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("height", "width"), [(2000, 2000), (500, 4000)])
def test_erase_draws_the_aspect_from_those_that_fit(height, width):
    _, _, tall, wide = drawn((1.0, (0.3, 0.5), 10.0), height, width)
    area, log_aspect = tall * wide / (height * width), np.log(wide / tall)
    rounded = 0.02  # sides are whole pixels
    assert is_uniform(area, 0.3, 0.5, rounded)
    # Neither wider than the image nor higher: a strip of the same area is the end of what fits.
    flattest = np.minimum(np.log(10), np.log(width / (area * height)))
    steepest = np.maximum(-np.log(10), np.log(area * width / height))
    assert is_uniform((log_aspect - steepest) / (flattest - steepest), 0, 1, rounded)


@pytest.mark.tensorflow_only
def test_erase_of_a_tiny_share_takes_a_pixel():
    _, _, tall, wide = drawn((1.0, (0.001, 0.002), 1.0), 12, 9, 100)
    assert (tall == 1).all()
    assert (wide == 1).all()


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("count", "values"), [(4000, 256)])
def test_erase_draws_one_colour_per_image_of_all_there_are(count, values):
    colour = parameters_of(op_of("erase(1.0, fill='colour')", noise(1)), count)["colour"]
    assert colour.shape == (count, 3)
    for channel in colour.T:
        assert are_equally_frequent(channel // 16, np.arange(16))
        assert len(np.unique(channel)) > 250
        assert set(np.unique(channel)) <= set(range(values))
    assert are_independent(*colour.T)


@pytest.mark.parametrize("size", [tensorflow_case(1), 4, tensorflow_case(5), tensorflow_case(9)])
@pytest.mark.parametrize("fill", ["black", "mean"])
def test_cutout_paints_a_square_that_may_stick_out(size, fill):
    images = noise(5)
    rows, columns = [0, 4, 8, 0, 5], [0, 6, 11, 11, 0]
    op = with_parameters(op_of(f"cutout({size}, {fill!r})", images), row=rows, column=columns)
    result = applied(op, images)
    colour = np.round(image_spec_of(images).statistics.mean) if fill == "mean" else 0
    for i in range(5):
        top, left = rows[i] - size // 2, columns[i] - size // 2
        expected = painted_by_loop(images[i], (top, top + size, left, left + size), colour)
        np.testing.assert_array_equal(result[i], expected)


@pytest.mark.tensorflow_only
def test_cutouts_centre_is_any_pixel():
    parameters = parameters_of(op_of("cutout(4)", noise(1)), 10_000)
    assert are_equally_frequent(parameters["row"], np.arange(9))
    assert are_equally_frequent(parameters["column"], np.arange(12))
    assert are_independent(parameters["row"], parameters["column"])


@pytest.mark.tensorflow_only
def test_cutout_cuts_every_image():
    images = np.full((50, 8, 8, 3), 9, "uint8")
    plan = plan_of("cutout(3)", images)
    result = on_device(plan, images, uniforms(plan, 50))[0]
    black = (result == 0).all(-1).sum((1, 2))
    assert set(black) == {4, 6, 9}


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("erase", (1.5,), r"erase: rate must be in \[0, 1\]\. Received: rate=1\.5"),
        (
            "erase",
            (0.5, (0.0, 0.3)),
            r"erase: area_range must be \(low, high\) within \(0, 1\)\. Received: .*\(0\.0, 0\.3\)",
        ),
        ("erase", (0.5, (0.4, 0.3)), r"erase: area_range must be"),
        ("erase", (0.5, (0.4, 1.0)), r"erase: area_range must be"),
        ("erase", (0.5, 0.3), r"erase: area_range must be .*Received: area_range=0\.3"),
        ("erase", (0.5, (0.1, 0.3), 0.5), r"erase: max_ratio must be 1 or more\. Received: max_ratio=0\.5"),
        ("erase", (0.5, (0.1, 0.3), 2.0, "white"), r"erase: fill must be one of .*'colour'\]\. Received: fill='white'"),
        ("cutout", (0,), r"cutout: size_px must be an integer, 1 or more\. Received: size_px=0"),
        ("cutout", (2.5,), r"cutout: size_px must be an integer"),
        ("cutout", (4, "colour"), r"cutout: fill must be one of \['black', 'mean'\]\. Received: fill='colour'"),
    ],
)
def test_an_illegal_argument_names_the_op_and_the_argument(op, arguments, message):
    with pytest.raises(SpecError, match=message):
        OPS[op](*arguments)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("cutout", (7,), r"cutout: size_px must be at most the image's side, 6\. Received: 7"),
        ("cutout", (4, "mean"), r"cutout: fill='mean' needs the mean of the training images"),
        ("erase", (0.5, (0.1, 0.2), 2.0, "mean"), r"erase: fill='mean' needs the mean of the training images"),
    ],
)
def test_images_that_will_not_do_are_refused(op, arguments, message):
    with pytest.raises(SpecError, match=message):
        OPS[op](*arguments).bind(ImageSpec((9, 6, 3)))

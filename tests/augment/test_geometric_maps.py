"""Ops that take pixels from places in between: rotation, shear, zoom, random resized crop."""

import math

import keras
import numpy as np
import pytest
from PIL import Image
from plan_runs import (
    applied,
    are_independent,
    check_everywhere,
    is_uniform,
    noise,
    op_of,
    parameters_of,
    smooth,
    uniforms,
    with_parameters,
)

from kerastricks.augment.op import Draws
from kerastricks.augment.ops import OPS
from kerastricks.errors import SpecError
from kerastricks.layers import RandomResizedCrop

EVERY = [
    "rotate(180)",
    "rotate(30, 'reflect')",
    "shear(40, 20, 'nearest')",
    "shear(60)",
    "zoom(0.3, 3.0)",
    "zoom(0.3, 0.9, 'reflect')",
    "random_resized_crop(0.1)",
]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", EVERY)
def test_host_and_device_give_the_same(text):
    # 1e-5 of a pixel between neighbours that differ by 255, four of them.
    check_everywhere(text, noise(24).astype("float32"), atol=4e-5 * 255)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("text", ["rotate", "shear", "zoom"])
@pytest.mark.parametrize("outside", ["black", "reflect", "nearest"])
def test_neutral_parameters_change_nothing(text, outside):
    for images in (noise(3), noise(3, 10, 7), np.random.default_rng(0).uniform(0, 255, (3, 9, 9, 1)).astype("float32")):
        op = op_of(f"{text}(outside={outside!r})", images)
        assert set(parameters_of(op, 3)) == set(op.neutral)
        neutral = with_parameters(op, **{name: [value] * 3 for name, value in op.neutral.items()})
        result = applied(neutral, images)
        assert result.dtype == images.dtype
        np.testing.assert_array_equal(result, images)


def sampled(image, y, x, outside):
    """Bilinear, one pixel: `outside` decides what a neighbour beyond the edge is."""
    height, width = image.shape[:2]
    total = np.zeros(image.shape[-1])
    for row, column in [(math.floor(y) + i, math.floor(x) + j) for i in (0, 1) for j in (0, 1)]:
        weight = (1 - abs(y - row)) * (1 - abs(x - column))
        if outside == "nearest":
            row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        while outside == "reflect" and not 0 <= row < height:
            row = -row if row < 0 else 2 * (height - 1) - row
        while outside == "reflect" and not 0 <= column < width:
            column = -column if column < 0 else 2 * (width - 1) - column
        if 0 <= row < height and 0 <= column < width:
            total += weight * image[row, column]
    return total


def reference(image, source, outside):
    """`source` maps a place of the result to where it comes from, both as x + iy from the image's centre, y down."""
    height, width = image.shape[:2]
    centre = complex((width - 1) / 2, (height - 1) / 2)
    result = np.zeros(image.shape)
    for y in range(height):
        for x in range(width):
            place = source(complex(x, y) - centre) + centre
            result[y, x] = sampled(image, place.imag, place.real, outside)
    return result


SOURCES = {
    "rotate": lambda p, angle: p * complex(math.cos(angle), -math.sin(angle)),
    # The result is sheared along y, then along x, as torchvision does it: both are undone.
    "shear": lambda p, x, y: complex(p.real + x * (p.imag + y * p.real), p.imag + y * p.real),
    "zoom": lambda p, scale: p / scale,
}


@pytest.mark.parametrize("outside", ["black", "reflect", "nearest"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rotate", {"radians": [0.3, -1.0, 2.0, math.pi]}),
        ("shear", {"x_shear": [0.5, 0.0, -1.5, 0.3], "y_shear": [0.0, -0.3, 0.4, 0.7]}),
        ("zoom", {"scale": [0.4, 0.9, 1.5, 4.0]}),
    ],
)
def test_pixels_are_interpolated_where_the_definition_says(name, parameters, outside):
    images = noise(4, 7, 10).astype("float32")
    op = op_of(f"{name}(outside={outside!r})", images)
    result = applied(with_parameters(op, **parameters), images)
    for i, values in enumerate(zip(*parameters.values(), strict=True)):
        expected = reference(images[i].astype("float64"), lambda p, v=values: SOURCES[name](p, *v), outside)
        # Places are off by 1e-6 of a pixel or so, and neighbours differ by up to 255.
        np.testing.assert_allclose(result[i], expected, rtol=0, atol=4e-3)


def by_pillow(image, transform):
    planes = [np.asarray(transform(Image.fromarray(image[..., channel]))) for channel in range(image.shape[-1])]
    return np.stack(planes, axis=-1)


def test_a_positive_angle_turns_clockwise_as_pillows_negative_does():
    images = smooth(2, 24, 31)
    result = applied(with_parameters(op_of("rotate", images), radians=[0.2, -0.6]), images)
    for i, degrees in enumerate(np.degrees([-0.2, 0.6])):
        expected = by_pillow(images[i], lambda plane, d=degrees: plane.rotate(d, Image.Resampling.BILINEAR))
        inner = np.s_[8:-8, 8:-8]
        np.testing.assert_allclose(result[i][inner], expected[inner], rtol=0, atol=0.01)


def test_a_slope_slides_rows_as_pillows_affine_transform_does():
    """RandAugment's ShearX hands Pillow the numbers (1, slope, 0, 0, 1, 0); about the centre they need an offset."""
    images = smooth(1, 24, 31)
    result = applied(with_parameters(op_of("shear", images), x_shear=[0.3], y_shear=[0.0]), images)
    numbers = (1, 0.3, -0.3 * 24 / 2, 0, 1, 0)
    expected = by_pillow(
        images[0], lambda plane: plane.transform(plane.size, Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)
    )
    inner = np.s_[4:-4, 6:-6]
    np.testing.assert_allclose(result[0][inner], expected[inner], rtol=0, atol=0.01)


def test_shear_in_both_directions_keeps_areas():
    op = op_of("shear(60, 60)", noise(1))
    a, b, _, d, e, _ = op.matrix(parameters_of(op, 100), 9, 12, np)
    np.testing.assert_allclose(a * e - b * d, 1, rtol=1e-4)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "name", "read", "bounds"),
    [
        ("rotate(40)", "radians", np.degrees, (-40, 40)),
        ("shear(30, 10)", "x_shear", lambda slope: np.degrees(np.arctan(slope)), (-30, 30)),
        ("shear(30, 10)", "y_shear", lambda slope: np.degrees(np.arctan(slope)), (-10, 10)),
        ("zoom(0.5, 3)", "scale", np.log, (math.log(0.5), math.log(3))),
    ],
)
def test_draws_have_the_distribution_of_the_definition(text, name, read, bounds):
    values = read(parameters_of(op_of(text, noise(1)), 10_000)[name])
    assert is_uniform(values, *bounds)
    assert are_independent(values)


@pytest.mark.tensorflow_only
def test_shears_are_drawn_on_their_own_and_one_number_shears_rows_alone():
    images = noise(1)
    assert are_independent(*parameters_of(op_of("shear(30, 30)", images), 10_000).values())
    alone = parameters_of(op_of("shear(30)", images), 100)
    assert (alone["y_shear"] == 0).all()
    assert len(np.unique(alone["x_shear"])) > 90


# --- random resized crop


def box_of(parameters, i):
    return tuple(int(parameters[name][i]) for name in ("top", "left", "box_height", "box_width"))


def test_random_resized_crop_stretches_its_box_over_the_image():
    images = noise(30, 9, 14).astype("float32")
    op = op_of("random_resized_crop(0.1, max_ratio=2.0)", images)
    drawn = parameters_of(op, 30)
    result = applied(op, images)
    for i in range(30):
        top, left, tall, wide = box_of(drawn, i)
        for y in range(9):
            for x in range(14):
                # The middle of a pixel of the result is as far along the image as its source along the box.
                row, column = top + (y + 0.5) / 9 * tall - 0.5, left + (x + 0.5) / 14 * wide - 0.5
                row, column = min(max(row, 0), 8), min(max(column, 0), 13)
                expected = sampled(images[i].astype("float64"), row, column, "black")
                np.testing.assert_allclose(result[i, y, x], expected, rtol=0, atol=4e-3)


@pytest.mark.tensorflow_only
def test_random_resized_crop_is_tensorflows_resize_of_the_box_but_for_its_edge():
    import tensorflow as tf

    images = noise(30, 20, 28).astype("float32")
    op = op_of("random_resized_crop(0.1)", images)
    drawn = parameters_of(op, 30)
    result = applied(op, images)
    for i in range(30):
        top, left, tall, wide = box_of(drawn, i)
        resized = tf.image.resize(images[i, top : top + tall, left : left + wide], (20, 28)).numpy()
        # Half a pixel of the box at each edge.
        rows, columns = math.ceil(0.5 * 20 / tall), math.ceil(0.5 * 28 / wide)
        inner = np.s_[rows:-rows, columns:-columns]
        np.testing.assert_allclose(result[i][inner], resized[inner], rtol=0, atol=0.02)


def test_random_resized_crop_of_the_whole_is_the_identity():
    images = noise(4, 9, 9)
    np.testing.assert_array_equal(applied(op_of("random_resized_crop(1.0, 1.0, 1.0)", images), images), images)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("height", "width"), [(9, 14), (500, 375), (40, 300)])
def test_random_resized_crop_and_the_layer_draw_the_same_boxes(height, width):
    op = op_of("random_resized_crop(0.2, 0.9, 1.5)", noise(1))
    draws = uniforms(op, 50)
    layer = RandomResizedCrop(5, 5, (0.2, 0.9), (1 / 1.5, 1.5))
    expected = layer.boxes(draws[:, :20].reshape(50, 10, 2), draws[:, 20:], height, width)
    parameters = op.parameters(Draws(keras.ops.convert_to_tensor(draws)), keras.ops)
    found = keras.ops.stack(op.window(parameters, height, width, keras.ops), axis=1)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected))


@pytest.mark.tensorflow_only
def test_windows_of_images_of_many_sizes_lie_inside_and_have_the_area_and_aspect_asked_for():
    generator = np.random.default_rng(0)
    height, width = generator.integers(100, 900, (2, 2000))
    op = op_of("random_resized_crop(0.35, 0.8)", noise(1))
    parameters = op.parameters(Draws(keras.ops.convert_to_tensor(uniforms(op, 2000))), keras.ops)
    sides = (keras.ops.convert_to_tensor(side.astype("int32")) for side in (height, width))
    window = [keras.ops.convert_to_numpy(edge) for edge in op.window(parameters, *sides, keras.ops)]
    top, left, tall, wide = (edge.astype("float64") for edge in window)
    assert (np.stack(window) == np.round(window)).all()
    assert top.min() >= 0
    assert left.min() >= 0
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()
    pixel = 2 / np.minimum(tall, wide)  # sides are whole pixels
    assert (np.abs(np.log(wide / tall)) <= np.log(4 / 3) + pixel).all()
    share = tall * wide / (height * width)
    normal = np.abs(np.log(width / height)) < np.log(4 / 3)  # there a box of each area fits
    assert (share[normal] >= 0.35 - pixel[normal]).all()
    assert (share[normal] <= 0.8 + pixel[normal]).all()


def test_a_window_of_one_image_is_that_of_the_batch():
    """The host draws for a batch and decodes image by image."""
    op = op_of("random_resized_crop(0.2)", noise(1))
    draws = uniforms(op, 4)
    for i in range(4):
        one, all_ = (
            [keras.ops.convert_to_numpy(edge) for edge in op.window(parameters, 300, 200, keras.ops)]
            for parameters in (
                op.parameters(Draws(keras.ops.convert_to_tensor(draws[i : i + 1])), keras.ops),
                op.parameters(Draws(keras.ops.convert_to_tensor(draws)), keras.ops),
            )
        )
        assert [edge[0] for edge in one] == [edge[i] for edge in all_]


@pytest.mark.tensorflow_only
def test_windows_on_the_host_are_the_devices():
    import tensorflow as tf

    from kerastricks.data.pipeline import tensorflow_arrays

    op = op_of("random_resized_crop(0.1, max_ratio=3.0)", noise(1))
    draws = tf.constant(uniforms(op, 100))

    @tf.function(input_signature=[tf.TensorSpec((None, 22)), tf.TensorSpec([], "int32"), tf.TensorSpec([], "int32")])
    def host(draws, height, width):
        parameters = op.parameters(Draws(draws), tensorflow_arrays)
        return tf.stack(op.window(parameters, height, width, tensorflow_arrays), axis=1)

    for height, width in ((375, 500), (17, 300)):
        parameters = op.parameters(Draws(draws), keras.ops)
        expected = keras.ops.stack(op.window(parameters, height, width, keras.ops), axis=1)
        np.testing.assert_array_equal(host(draws, height, width), expected)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("rotate", (181,), r"rotate: degrees must be in \[0, 180\]\. Received: degrees=181"),
        ("rotate", (10, "white"), r"rotate: outside must be one of .*Received: outside='white'"),
        ("shear", (90,), r"shear: x_degrees must be in \[0, 90\)\. Received: x_degrees=90"),
        ("shear", (10, -1), r"shear: y_degrees must be in \[0, 90\)\. Received: y_degrees=-1"),
        ("shear", (float("nan"),), r"shear: x_degrees must be in"),
        ("shear", (10, 0, None), r"shear: outside must be one of .*Received: outside=None"),
        ("zoom", (0,), r"zoom: must have 0 < low <= high\. Received: low=0, high=1\.25"),
        ("zoom", (2.0, 1.0), r"zoom: must have 0 < low <= high"),
        ("zoom", (1.0, float("inf")), r"zoom: must have 0 < low <= high"),
        ("zoom", (0.5, 2.0, "wrap"), r"zoom: outside must be one of"),
        ("random_resized_crop", (0,), r"random_resized_crop: must have 0 < low <= high <= 1\. Received: low=0, high=1"),
        ("random_resized_crop", (0.8, 0.5), r"must have 0 < low <= high <= 1"),
        ("random_resized_crop", (0.5, 1.5), r"must have 0 < low <= high <= 1"),
        ("random_resized_crop", (0.5, 1.0, 0.9), r"max_ratio must be 1 or more\. Received: max_ratio=0\.9"),
    ],
)
def test_an_illegal_argument_names_the_op_and_the_argument(op, arguments, message):
    with pytest.raises(SpecError, match=message):
        OPS[op](*arguments)

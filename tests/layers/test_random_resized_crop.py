"""RandomResizedCrop against loops in NumPy and Pillow's resize: Szegedy et al. 2015, section 6."""

import keras
import numpy as np
import pytest
from PIL import Image

from kerastricks.layers import RandomResizedCrop

# top, left, height, width: enlarged, shrunk, both, one pixel, the whole image of 11 x 14
BOXES = np.array([[2, 3, 4, 5], [0, 0, 11, 14], [1, 0, 10, 2], [10, 13, 1, 1], [4, 4, 7, 9]])


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def random_images(dtype="float32"):
    return np.random.default_rng(0).integers(0, 256, (5, 11, 14, 3)).astype(dtype)


def resized_line(line, out):
    """Triangle filter about each new pixel's centre, as wide as the scale where it shrinks."""
    scale = len(line) / out
    result = []
    for i in range(out):
        centre, shares = (i + 0.5) * scale, []
        for j in range(len(line)):
            shares.append(max(0.0, 1 - abs(j + 0.5 - centre) / max(scale, 1)))
        result.append(sum(s * v for s, v in zip(shares, line, strict=True)) / sum(shares))
    return np.array(result)


def reference_boxes(attempts, places, height, width, area_range, aspect_range):
    """One image: the first of the attempts that fits, else the central box."""
    for u, v in attempts:
        area = (area_range[0] + (area_range[1] - area_range[0]) * u) * height * width
        aspect = np.exp(np.log(aspect_range[0]) * (1 - v) + np.log(aspect_range[1]) * v)
        w, h = max(1, round(np.sqrt(area * aspect))), max(1, round(np.sqrt(area / aspect)))
        if w <= width and h <= height:
            return int(places[0] * (height - h + 1)), int(places[1] * (width - w + 1)), h, w
    if width / height < aspect_range[0]:
        h, w = round(width / aspect_range[0]), width
    elif width / height > aspect_range[1]:
        h, w = height, round(height * aspect_range[1])
    else:
        h, w = height, width
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_bilinear_is_the_triangle_filter_over_the_box(dtype):
    images = random_images(dtype)
    expected = np.empty((5, 6, 5, 3))
    for i, (top, left, height, width) in enumerate(BOXES):
        box = images[i, top : top + height, left : left + width].astype("float64")
        expected[i] = np.apply_along_axis(resized_line, 1, np.apply_along_axis(resized_line, 0, box, 6), 5)
    result = numpy(RandomResizedCrop(6, 5).crop(images, BOXES))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5 * 255)


def test_bilinear_is_pillows():
    images = random_images()
    result = numpy(RandomResizedCrop(6, 5).crop(images, BOXES))
    for i, (top, left, height, width) in enumerate(BOXES):
        for channel in range(3):
            cut = Image.fromarray(images[i, ..., channel]).crop((left, top, left + width, top + height))
            expected = np.asarray(cut.resize((5, 6), Image.Resampling.BILINEAR))
            np.testing.assert_allclose(result[i, ..., channel], expected, rtol=1e-5, atol=1e-5 * 255)


def test_nearest_takes_the_pixel_under_the_new_ones_centre():
    images = random_images("uint8")
    result = numpy(RandomResizedCrop(6, 5, interpolation="nearest").crop(images, BOXES))
    for i, (top, left, height, width) in enumerate(BOXES):
        rows = [top + int((y + 0.5) * height / 6) for y in range(6)]
        columns = [left + int((x + 0.5) * width / 5) for x in range(5)]
        np.testing.assert_array_equal(result[i], images[i][rows][:, columns].astype("float32"))


@pytest.mark.parametrize(
    ("height", "width", "area_range"),
    [(224, 224, (0.08, 1.0)), (9, 40, (0.5, 1.0)), (40, 9, (0.5, 1.0)), (5, 5, (0.01, 1))],
)
def test_boxes_are_the_first_that_fit_or_the_central_one(height, width, area_range):
    generator = np.random.default_rng(0)
    attempts, places = generator.uniform(size=(200, 10, 2)), generator.uniform(size=(200, 2))
    layer = RandomResizedCrop(8, 8, area_range=area_range)
    found = numpy(layer.boxes(attempts.astype("float32"), places.astype("float32"), height, width))
    expected = [
        reference_boxes(a, p, height, width, area_range, (3 / 4, 4 / 3)) for a, p in zip(attempts, places, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)
    if height != width:  # at least half of these images has no box of an allowed aspect
        assert {tuple(box) for box in expected} == {(0, 14, 9, 12) if width > height else (14, 0, 12, 9)}


def within(sample, mean, variance):
    """Whether a sample's mean is within five standard errors of what it should be."""
    return abs(np.mean(sample) - mean) < 5 * np.sqrt(variance / len(sample))


def test_area_aspect_and_place_have_the_distribution_of_the_definition():
    count, side = 10_000, 1000  # so large that whole pixels do not matter
    layer = RandomResizedCrop(1, 1, area_range=(0.1, 0.5), seed=0)
    top, left, height, width = numpy(layer.draw(count, side, side)).astype("float64").T
    area, aspect = height * width / side**2, np.log(width / height) / np.log(4 / 3)
    assert area.min() > 0.099
    assert area.max() < 0.501
    assert np.abs(aspect).max() < 1.02
    assert within(area, 0.3, 0.4**2 / 12)
    assert within((area - 0.3) ** 2, 0.4**2 / 12, 0.4**4 / 180)
    assert within(aspect, 0, 1 / 3)
    assert within(aspect**2, 1 / 3, 4 / 45)
    y, x = top / (side - height), left / (side - width)
    for place in (y, x):
        assert place.min() >= 0
        assert place.max() <= 1
        assert within(place, 0.5, 1 / 12)
    # Independent of each other and of the image before.
    draws = np.stack([area, aspect, y, x])
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 5 / np.sqrt(count)
    assert max(abs(np.corrcoef(draw[1:], draw[:-1])[0, 1]) for draw in draws) < 5 / np.sqrt(count)


def test_images_and_calls_differ_and_the_same_seed_draws_the_same():
    images = np.repeat(random_images()[:1], 6, axis=0)
    layer, same = RandomResizedCrop(6, 5, seed=3), RandomResizedCrop(6, 5, seed=3)
    first, second = numpy(layer(images, training=True)), numpy(layer(images, training=True))
    assert len(np.unique(first.reshape(6, -1), axis=0)) > 1
    assert (first != second).any()
    np.testing.assert_array_equal(numpy(same(images, training=True)), first)
    np.testing.assert_array_equal(numpy(same(images, training=True)), second)


@pytest.mark.parametrize(
    ("out", "box"),
    [((8, 8), (0, 1, 11, 11)), ((4, 2), (0, 4, 11, 6)), ((2, 8), (3, 0, 4, 14)), ((22, 28), (0, 0, 11, 14))],
)
def test_inference_resizes_the_largest_centred_box(out, box):
    layer = RandomResizedCrop(*out)
    images = random_images()
    np.testing.assert_array_equal(numpy(layer(images)), numpy(layer.crop(images, np.array([box] * 5))))


def test_inference_leaves_an_image_of_the_right_size_alone():
    np.testing.assert_array_equal(numpy(RandomResizedCrop(11, 14)(random_images())), random_images())


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("jit", [False, True])
def test_sizes_that_the_graph_does_not_know(interpolation, jit):
    import tensorflow as tf

    layer = RandomResizedCrop(6, 5, interpolation=interpolation, seed=0)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), "float32")], jit_compile=jit)
    def graph(images):
        boxes = layer.draw(*tf.unstack(tf.shape(images))[:3])
        return boxes, layer.crop(images, boxes), layer(images, training=True)

    for side in (9, 16):
        images = np.random.default_rng(side).uniform(1, 2, (20, side, side + 3, 3)).astype("float32")
        boxes, crops, called = (numpy(tensor) for tensor in graph(images))
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= [side, side + 3]).all()
        assert boxes[:, 2].max() > side // 2
        np.testing.assert_allclose(crops, numpy(layer.crop(images, boxes)), rtol=1e-5)
        assert called.shape == crops.shape


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"height": 0}, "height"),
        ({"width": 4.0}, "width"),
        ({"area_range": (0, 1)}, "area_range"),
        ({"area_range": 0.08}, "area_range"),
        ({"area_range": (0.5, 0.4)}, "area_range"),
        ({"area_range": (0.5, 1.5)}, "area_range"),
        ({"aspect_range": (0, 1)}, "aspect_range"),
        ({"aspect_range": 1.5}, "aspect_range"),
        ({"aspect_range": (4 / 3, 3 / 4)}, "aspect_range"),
        ({"interpolation": "bicubic"}, "interpolation"),
    ],
)
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names} must be.*Received"):
        RandomResizedCrop(**{"height": 4, "width": 4, **arguments})


def test_integers_of_numpy_are_integers():
    layer = RandomResizedCrop(np.int64(4), np.int32(5))
    assert (type(layer.height), layer.height, layer.width) == (int, 4, 5)


@pytest.mark.tensorflow_only
def test_single_images_are_refused():
    with pytest.raises(ValueError, match="RandomResizedCrop needs images"):
        RandomResizedCrop(4, 4)(np.zeros((9, 9, 3)))

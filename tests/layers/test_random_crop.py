"""RandomCrop against NumPy's pad and slices."""

import keras
import numpy as np
import pytest

from kerastricks.layers import RandomCrop


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def coordinates(batch, height, width):
    """Images whose pixels are (1 + row, 1 + column): what comes out tells where it was."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.tile(1 + np.stack([rows, columns], axis=-1)[None], (batch, 1, 1, 1)).astype("float32")


@pytest.mark.parametrize(("mode", "keywords"), [("constant", {"constant_values": 9}), ("reflect", {}), ("edge", {})])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_crop_is_a_slice_of_the_padded_image(mode, keywords, dtype):
    images = np.random.default_rng(0).integers(0, 256, (24, 6, 5, 2)).astype(dtype)
    padding = 4
    offsets = np.array([(row, column) for row in (0, 1, 5, 10) for column in (0, 3, 4, 5, 8, 9)])
    padded = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)], mode, **keywords)
    expected = np.stack([padded[i, y : y + 4, x : x + 4] for i, (y, x) in enumerate(offsets)])
    layer = RandomCrop(4, 4, padding=padding, padding_mode=mode, fill_value=9)
    np.testing.assert_array_equal(numpy(layer.crop(images, offsets)), expected.astype("float32"))


def test_places_are_uniform_and_independent():
    draws = 30_000
    layer = RandomCrop(3, 4, padding=1, padding_mode="edge", seed=0)
    padded = np.pad(coordinates(1, 4, 7), [(0, 0), (1, 1), (1, 1), (0, 0)], "edge")[0]
    windows = numpy(layer(np.broadcast_to(coordinates(1, 4, 7), (draws, 4, 7, 2)), training=True))
    found = np.full((draws, 2), -1)
    for y in range(4):
        for x in range(6):
            found[(windows == padded[y : y + 3, x : x + 4]).all(axis=(1, 2, 3))] = (y, x)
    assert found.min() == 0, "a window that is no window of the padded image"
    counts = np.zeros((4, 6))
    np.add.at(counts, tuple(found.T), 1)
    expected = draws / 24
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    for a, b in ((found[:, 0], found[:, 1]), (found[1:, 0], found[:-1, 0]), (found[1:, 1], found[:-1, 1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(draws)


def test_two_calls_differ_and_the_same_seed_draws_the_same():
    images = coordinates(16, 20, 20)
    layer, same = RandomCrop(8, 8, seed=5), RandomCrop(8, 8, seed=5)
    first, second = numpy(layer(images, training=True)), numpy(layer(images, training=True))
    assert (first != second).any()
    np.testing.assert_array_equal(numpy(same(images, training=True)), first)
    np.testing.assert_array_equal(numpy(same(images, training=True)), second)


def test_a_side_that_fits_already_leaves_the_other_random():
    windows = numpy(RandomCrop(4, 6, seed=0)(coordinates(64, 9, 6), training=True))
    assert set(windows[:, 0, 0, 0]) == set(range(1, 7))
    assert (windows[:, 0, 0, 1] == 1).all()
    np.testing.assert_array_equal(numpy(RandomCrop(9, 6)(coordinates(2, 9, 6), training=True)), coordinates(2, 9, 6))


def test_inference_takes_the_centre_of_the_image_without_its_padding():
    images = coordinates(2, 9, 6)
    for padding in (0, 3):
        np.testing.assert_array_equal(numpy(RandomCrop(4, 4, padding=padding)(images)), images[:, 2:6, 1:5])
        np.testing.assert_array_equal(numpy(RandomCrop(9, 6, padding=padding)(images)), images)
    # Where the image is smaller than the window the padding is all there is.
    wider = numpy(RandomCrop(4, 8, padding=3, fill_value=-1)(images))
    np.testing.assert_array_equal(wider[:, :, 1:7], images[:, 2:6])
    assert (wider[:, :, [0, 7]] == -1).all()


def graph_of_unknown_sizes(layer, jit):
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, 2), "float32")]
    return tf.function(lambda images: layer(images, training=True), input_signature=signature, jit_compile=jit)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("jit", [False, True])
def test_sizes_that_the_graph_does_not_know(mode, jit):
    crop = graph_of_unknown_sizes(RandomCrop(5, 5, padding=2, padding_mode=mode, seed=0), jit)
    for height, width in ((6, 9), (3, 4)):
        images = coordinates(3, height, width)
        windows = numpy(crop(images))
        padded = np.pad(images[0], [(2, 2), (2, 2), (0, 0)], mode)
        places = [padded[y : y + 5, x : x + 5] for y in range(height) for x in range(width)]
        assert all(any((window == place).all() for place in places) for window in windows)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"height": 0, "width": 4}, "height"),
        ({"height": 4, "width": 4.5}, "width"),
        ({"height": 4, "width": 4, "padding": -1}, "padding"),
        ({"height": 4, "width": 4, "padding": True}, "padding"),
        ({"height": 4, "width": 4, "padding_mode": "symmetric"}, "padding_mode"),
    ],
)
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names} must be.*Received"):
        RandomCrop(**arguments)


def test_integers_of_numpy_are_integers():
    layer = RandomCrop(np.int64(4), np.int32(5), padding=np.uint8(1))
    assert (type(layer.padding), layer.height, layer.width, layer.padding) == (int, 4, 5, 1)


@pytest.mark.tensorflow_only
def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"height must be at most the padded image's, 6\. Received: height=8"):
        RandomCrop(8, 4, padding=1)(np.zeros((1, 4, 9, 3)), training=True)
    with pytest.raises(ValueError, match="width must be at most"):
        RandomCrop(4, 8)(keras.Input((None, 7, 3)))
    with pytest.raises(ValueError, match="padding must be below the image's width of 4"):
        RandomCrop(4, 4, padding=4, padding_mode="reflect")(np.zeros((1, 9, 4, 3)))
    with pytest.raises(ValueError, match="RandomCrop needs images"):
        RandomCrop(4, 4)(np.zeros((9, 9, 3)))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("jit", [False, True])
def test_images_that_do_not_fit_a_graph_of_unknown_sizes_become_nan(jit):
    reflect = graph_of_unknown_sizes(RandomCrop(5, 5, padding=2, padding_mode="reflect", seed=0), jit)
    for height, width in ((6, 2), (2, 6)):  # large enough for the window, too small to be mirrored
        assert np.isnan(numpy(reflect(coordinates(2, height, width)))).all()
    constant = graph_of_unknown_sizes(RandomCrop(5, 5, padding=1, seed=0), jit)
    assert np.isnan(numpy(constant(coordinates(2, 9, 2)))).all()
    assert np.isfinite(numpy(constant(coordinates(2, 9, 3)))).all()

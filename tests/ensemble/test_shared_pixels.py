"""Members that cut and resize images in different ways see, in the ensemble, what they see alone."""

import keras
import numpy as np
import pytest

from kerastricks.data.fitting import Fitting
from kerastricks.ensemble import Member, combine, member_outputs, shared_pixels
from kerastricks.errors import EnsembleError


def member(shape, fitting=None, seed=0):
    """Looks at places, so that another cut or size is another answer."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(shape)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 128, -1)(inputs))
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(3)(x)))
    return Member(model, f"{shape}", fitting=fitting or Fitting())


def photographs(shape, count=4):
    """Smooth images of whole numbers."""
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (count, 5, 5, 3)).astype("float32")
    return np.round(keras.ops.convert_to_numpy(keras.ops.image.resize(coarse, shape[:2]))).clip(0, 255)


MEMBERS = [
    ((14, 14, 3), Fitting(0.875)),
    ((20, 20, 3), Fitting(1.0, "bicubic")),
    ((24, 24, 3), Fitting(1.0)),
    ((12, 16, 3), Fitting(0.75)),
]


def test_members_that_agree_take_the_images_as_they_are():
    shared = shared_pixels([member((8, 8, 3), Fitting(0.9)), member((8, 8, 3), Fitting(0.9))])
    assert (shared.image_shape, shared.fitting, shared.agree) == ((8, 8, 3), Fitting(0.9), True)
    model = combine([member((8, 8, 3)), member((8, 8, 3), seed=1)])
    assert not any(isinstance(layer, keras.layers.Resizing) for layer in model.layers)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("members", "shape", "fitting"),
    [
        ([((14, 14, 3), Fitting(0.875)), ((10, 10, 1), Fitting(1.0))], (16, 16, 3), Fitting(1.0)),
        ([((224, 224, 3), Fitting(0.875)), ((160, 160, 3), Fitting(0.875))], (224, 224, 3), Fitting(0.875)),
        ([((12, 20, 1), Fitting(0.5, "bicubic")), ((16, 16, 1), Fitting(0.8, "bicubic"))], (20, 32, 1), None),
    ],
)
def test_the_shared_images_are_as_large_as_is_needed(members, shape, fitting):
    shared = shared_pixels([member(*one) for one in members])
    assert shared.image_shape == shape
    assert shared.fitting == (fitting or Fitting(0.8, "bicubic"))
    assert not shared.agree


def test_resized_pixels_are_bytes_again():
    """Noise of 0 and 255 alone: bicubic goes beyond both ends, and between whole numbers."""
    small, large = member((14, 14, 3), Fitting(1.0, "bicubic")), member((24, 24, 3), Fitting(1.0, "bicubic"), seed=1)
    shared = shared_pixels([small, large])
    pixels = keras.Input(shared.image_shape)
    seen = keras.Model(pixels, shared.for_member(pixels, small))
    noise = 255.0 * np.random.default_rng(0).integers(0, 2, (2, *shared.image_shape))
    found = keras.ops.convert_to_numpy(seen(noise.astype("float32")))
    np.testing.assert_array_equal(found, np.round(found))
    assert (found.min(), found.max()) == (0, 255)
    assert len(np.unique(found)) > 50


@pytest.mark.tensorflow_only
def test_members_see_what_training_showed_them():
    """Fails without the members' own cuts and sizes: the reference is the data pipeline's function."""
    import tensorflow as tf

    from kerastricks.data.decoding.decode import fit_image

    members = [member(shape, fitting, seed) for seed, (shape, fitting) in enumerate(MEMBERS)]
    outputs = member_outputs(members)
    images = photographs(outputs.input_shape[1:])
    found = np.exp(outputs.predict_on_batch(images))
    for place, one in enumerate(members):
        height, width, channels = one.input_shape
        seen = np.stack([fit_image(tf.cast(x, tf.uint8), height, width, channels, one.fitting) for x in images])
        expected = one.model.predict_on_batch(seen.astype("float32"))
        # A rounded pixel may fall to the other side: one of 255.
        np.testing.assert_allclose(found[:, place], expected, atol=2e-3)
        naive = keras.ops.convert_to_numpy(keras.ops.image.resize(images, (height, width)))
        if one.fitting.crop_fraction < 1:
            assert np.abs(one.model.predict_on_batch(naive) - expected).max() > 0.01


def test_all_backends_make_the_same_pixels():
    """NumPy reference: a centred cut, and a mean over blocks, to which antialiased halving of constants comes."""
    wide, narrow = member((8, 8, 3), Fitting(1.0), 0), member((4, 4, 3), Fitting(0.5), 1)
    images = photographs((8, 8, 3))
    found = np.exp(member_outputs([wide, narrow]).predict_on_batch(images))
    np.testing.assert_allclose(found[:, 0], wide.model.predict_on_batch(images), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], narrow.model.predict_on_batch(images[:, 2:6, 2:6]), atol=1e-5)
    blocks = np.repeat(np.repeat(np.random.default_rng(1).integers(0, 256, (3, 1, 1, 3)), 8, 1), 8, 2)
    half = member((4, 4, 3), Fitting(1.0), 2)
    found = np.exp(member_outputs([wide, half]).predict_on_batch(blocks.astype("float32")))
    np.testing.assert_allclose(found[:, 1], half.model.predict_on_batch(blocks[:, :4, :4] * 1.0), atol=1e-5)


@pytest.mark.parametrize("channels", [(1, 3), (3, 1)])
def test_grey_and_colour(channels):
    members = [member((6, 6, channels[0]), seed=0), member((6, 6, channels[1]), seed=1)]
    images = photographs((6, 6, 3))
    outputs = member_outputs(members)
    assert outputs.input_shape == (None, 6, 6, 3)
    found = np.exp(outputs.predict_on_batch(images))
    grey = images @ np.array([0.299, 0.587, 0.114], "float32")[:, None]
    for place, count in enumerate(channels):
        expected = members[place].model.predict_on_batch(grey if count == 1 else images)
        np.testing.assert_allclose(found[:, place], expected, atol=1e-3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("shape", [(None, None, 3), (8,), (8, 8, 4)])
def test_inputs_that_cannot_be_shared(shape):
    inputs = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D()(inputs) if len(shape) == 3 else inputs
    other = Member(keras.Model(inputs, keras.layers.Dense(3)(x)), "odd")
    with pytest.raises(EnsembleError, match="'odd': where members take different images"):
        combine([member((8, 8, 3)), other])
    same = Member(keras.models.clone_model(other.model), "odd too")
    assert combine([other, same]).input_shape == (None, *shape)

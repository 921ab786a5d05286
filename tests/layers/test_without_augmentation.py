"""Models for inference: what only draws is left out, wherever it is, and everything else is shared."""

import keras
import numpy as np
import pytest
from keras import layers

from kerastricks.layers.fancy_pca import FancyPCA
from kerastricks.layers.without_augmentation import DRAW_ONLY, CropThenFit, with_layers, without_augmentation

pytestmark = pytest.mark.tensorflow_only

ARGUMENTS = {
    "FancyPCA": {"eigenpairs": "imagenet"},
    "GaussianNoise": {"stddev": 0.5},
    "RandomBrightness": {"factor": 0.5},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomContrast": {"factor": 0.5},
    "RandomHue": {"factor": 0.5},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.2},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
}


def images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


@pytest.mark.parametrize("kind", DRAW_ONLY, ids=lambda kind: kind.__name__)
def test_what_is_left_out_does_nothing_in_inference(kind):
    layer = FancyPCA() if kind is FancyPCA else kind(**ARGUMENTS.get(kind.__name__, {}))
    for scale in (1, 1 / 255):
        x = images(4, 12, 10, 3) * np.float32(scale)
        np.testing.assert_array_equal(np.asarray(layer(x, training=False)), x)


def test_every_random_layer_of_keras_is_known():
    random = {name for name in dir(layers) if name.startswith("Random")}
    assert random - {kind.__name__ for kind in DRAW_ONLY} <= {"RandomCrop"}


def kinds(model):
    found = []
    for layer in model.layers:
        found += kinds(layer) if isinstance(layer, keras.Model) else [type(layer).__name__]
    return found


def network():
    """Augmentation at the beginning, in the middle, nested, in a pipeline and used twice."""
    flip = layers.RandomFlip()
    pixels = keras.Input((12, 10, 3))
    x = keras.Sequential([layers.RandomRotation(0.1), layers.RandomZoom(0.1)], name="only_draws")(flip(pixels))
    x = layers.Pipeline([layers.MixUp(), layers.Rescaling(1 / 255), layers.RandAugment()])(x)
    x = keras.Sequential([layers.Conv2D(4, 3, padding="same"), layers.GaussianNoise(0.1)], name="some")(x)
    x = layers.Pipeline([layers.RandomErasing()])(x + flip(x))
    x = layers.Dropout(0.5)(keras.ops.relu(x), training=True)
    return keras.Model(pixels, layers.Dense(2)(layers.Flatten()(x)), name="net")


def test_it_is_left_out_wherever_it_is():
    model = network()
    made = without_augmentation(model)
    assert made.name == "net"
    assert kinds(made) == ["InputLayer", "Pipeline", "InputLayer", "Conv2D", "Dropout", "Flatten", "Dense"]
    assert [type(layer).__name__ for layer in made.get_layer(index=1).layers] == ["Rescaling"]
    assert {id(weight) for weight in made.weights} == {id(weight) for weight in model.weights}
    assert "RandomFlip" in kinds(model)  # it is another model, and training keeps its own


def test_the_outputs_are_those_of_inference_and_the_file_loads(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip(), layers.Flatten(), layers.Dense(2)])
    made = without_augmentation(model)
    x = images(3, 8, 8, 3)
    np.testing.assert_allclose(made.predict_on_batch(x), model.predict_on_batch(x), rtol=1e-6)
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict_on_batch(x), model.predict_on_batch(x), rtol=1e-6)
    model.layers[-1].set_weights([np.zeros((192, 2)), np.ones(2)])  # the weights are shared
    np.testing.assert_allclose(made.predict_on_batch(x), 1)


def test_a_model_without_augmentation_is_returned_as_it_is():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Dropout(0.5), layers.Dense(2)])
    assert without_augmentation(model) is model


def test_a_crop_becomes_the_centre():
    model = keras.Sequential([keras.Input((12, 16, 1)), layers.RandomCrop(6, 6), layers.Flatten(), layers.Dense(2)])
    made = without_augmentation(model)
    x = images(2, 12, 16, 1)
    centre = x[:, :, 2:14]  # the largest square
    expected = layers.Resizing(6, 6)(centre)
    np.testing.assert_allclose(made.layers[1](x), expected, rtol=1e-5)
    assert made.predict_on_batch(x).shape == (2, 2)

    # Keras's own gives (12, 16) in inference, which no dense layer takes.
    valid = with_layers(model, lambda one: CropThenFit(6, 6) if type(one) is layers.RandomCrop else one)
    np.testing.assert_allclose(valid.predict_on_batch(x), made.predict_on_batch(x), rtol=1e-5)
    assert valid(x, training=True).shape == (2, 2)

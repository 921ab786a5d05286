"""The classifiers of keras.applications by the zoo's lookup."""

import inspect

import keras
import numpy as np
import pytest

from kerastricks.errors import SpecError, UnknownNameError, WeightsError
from kerastricks.models import create
from kerastricks.models.applications import preprocess
from kerastricks.models.catalog import APPLICATIONS

RANDOM = np.random.default_rng(0)
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
ONE_OF_EACH_KIND = ("ConvNeXtTiny", "DenseNet121", "ResNet50", "Xception")
SMALL = "applications/MobileNetV2(alpha=0.35)"


def prepared(name, pixels):
    inputs = keras.Input(pixels.shape[1:])
    outputs = preprocess(inputs, APPLICATIONS[name])
    return keras.Model(inputs, outputs).predict(pixels, verbose=0) if outputs is not inputs else pixels


@pytest.mark.tensorflow_only
def test_all_are_listed():
    assert set(APPLICATIONS) == {name for name in dir(keras.applications) if name[0].isupper()}


@pytest.mark.parametrize("name", APPLICATIONS if ON_TENSORFLOW else ONE_OF_EACH_KIND)
def test_pixels_are_prepared_as_the_application_does(name):
    pixels = RANDOM.uniform(0, 255, (2, 5, 4, 3)).astype("float32")
    theirs = _preprocess_input(name)(pixels.copy())
    np.testing.assert_allclose(prepared(name, pixels), theirs, rtol=1e-5, atol=1e-4)


def _preprocess_input(name):
    """The function of the module that has the application."""
    if name.startswith("MobileNetV3"):
        return keras.applications.mobilenet_v3.preprocess_input
    modules = [module for module in vars(keras.applications).values() if inspect.ismodule(module)]
    return next(module for module in modules if hasattr(module, name)).preprocess_input


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small"])
def test_what_prepares_inside_has_a_rescaling(name):
    assert APPLICATIONS[name] == "inside"
    model = create(f"applications/{name}", (64, 64, 3), 4)
    assert any(isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization) for layer in model.layers)


def test_features_are_the_applications_own_on_pixels():
    model = create("applications/MobileNet(alpha=0.25)", (64, 64, 3), 4)
    plain = keras.applications.MobileNet(
        input_shape=(64, 64, 3), alpha=0.25, include_top=False, weights=None, pooling="avg"
    )
    plain.set_weights(model.get_weights()[:-2])
    pixels = RANDOM.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    expected = plain.predict(keras.applications.mobilenet.preprocess_input(pixels.copy()), verbose=0)
    features = keras.Model(model.inputs, model.get_layer("logits").input).predict(pixels, verbose=0)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_head_training_and_file(tmp_path):
    model = create("applications/VGG16", (32, 32, 1), 3, dropout=0.1)  # grey, and BGR inside
    assert model.layers[-1].name == "probabilities"
    assert model.get_layer("logits").output.shape == (None, 3)
    pixels = RANDOM.uniform(0, 255, (4, 32, 32, 1)).astype("float32")
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    assert np.isfinite(float(model.train_on_batch(pixels, np.array([0, 1, 2, 0]))))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(pixels), model.predict_on_batch(pixels), atol=1e-5)


@pytest.mark.tensorflow_only
def test_weights_from_a_file_of_the_network(tmp_path):
    first = create(SMALL, (32, 32, 3), 3)
    base = keras.Model(first.inputs, first.get_layer("logits").input)
    base.save_weights(tmp_path / "base.weights.h5")
    second = create(SMALL, (32, 32, 3), 5, weights=tmp_path / "base.weights.h5")
    for one, other in zip(first.get_weights()[:-2], second.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("applications/ResNet5", {}, UnknownNameError, "did you mean applications/ResNet50"),
        ("applications/Resnet50", {}, UnknownNameError, "did you mean applications/ResNet50"),
        ("application/ResNet50", {}, UnknownNameError, "did you mean applications/ResNet50"),
        ("applications/Xception", {}, SpecError, "at least 71x71"),
        (
            "applications/MobileNet(alpa=1)",
            {},
            SpecError,
            "arguments of applications/MobileNet: pooling, dropout, alpha",
        ),
        ("applications/MobileNet(weights='imagenet')", {}, SpecError, "weights cannot be set here"),
        ("applications/MobileNet(pooling='min')", {}, SpecError, 'pooling must be "avg" or "max"'),
        ("applications/MobileNet(dropout=1)", {}, SpecError, "dropout must be a number"),
        ("applications/MobileNet", {"weights": "imagnet"}, WeightsError, 'must be "imagenet", a file'),
        ("applications/MobileNet", {"activation": "relu"}, SpecError, "unexpected keyword argument 'activation'"),
    ],
)
def test_mistakes_are_one_line(name, options, error, message):
    with pytest.raises(error, match=message) as caught:
        create(name, (32, 32, 3), 4, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_without_a_network_the_error_says_what_to_do(monkeypatch):
    def offline(**options):
        raise Exception(
            "URL fetch failure on https://example.org/weights.h5: None -- [Errno -2] Name or service not known"
        )

    offline.__signature__ = inspect.signature(keras.applications.VGG16)
    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(WeightsError, match=r"cannot be downloaded: .*give weights= the path of a file .*example\.org"):
        create("applications/VGG16", (32, 32, 3), 4, weights="imagenet")

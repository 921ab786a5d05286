"""Models that recipes bring: made fit for training, and tried as the end of their training will, before it."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastricks import recipes
from kerastricks.classifier_file import load_classifier
from kerastricks.data import load
from kerastricks.errors import ConfigError, EnsembleError, ExportError, WriteError
from kerastricks.recipes import Recipe
from kerastricks.runs import own_model as module
from kerastricks.runs.own_model import check_export, check_recipes, check_step, copy_recipes, own_model
from kerastricks.serving import verify
from kerastricks.training import Config, fit

pytestmark = pytest.mark.tensorflow_only

REGISTERED = """
import keras
CONFIG = {}
@keras.saving.register_keras_serializable(package="mine")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
def create_model(data, config):
    return keras.Sequential([keras.Input(data.image_shape), Twice(), keras.layers.Flatten(), keras.layers.Dense(2)])
"""


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype("uint8")
    return load((x, np.arange(60) % 2), batch_size=16)


@pytest.fixture
def in_process(monkeypatch):
    """The comparison itself, without the seconds of a fresh process."""

    def verify_export(model_path, saved_model, images, probabilities, fitting):
        wrong = verify.wrong_signatures(load_classifier(model_path), saved_model, images, probabilities, fitting)
        if wrong:
            raise ExportError(wrong)

    monkeypatch.setattr(module, "verify_export", verify_export)


def made(data, create, **fields):
    recipe = Recipe("mine", recipes.Path("mine.py"), "Mine.", {}, create)
    return own_model(recipe, data, Config(**fields))


def head(*first):
    return [*first, layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)]


def check(model, data, folder, own=()):
    check_export(model, data.sample(4), "mine.py", folder, own, data)
    assert list(folder.iterdir()) == []


def any_size():
    pixels = keras.Input((None, None, 3), name="pixels")
    x = pixels
    for layer in head():
        x = layer(x)
    return keras.Model(pixels, x)


@keras.saving.register_keras_serializable(package="tests")
class Subclass(keras.Model):
    def __init__(self, softmax=False, **options):
        super().__init__(**options)
        self.softmax = softmax
        self.flat, self.dense = layers.Flatten(), layers.Dense(2, activation="softmax" if softmax else None)

    def call(self, x):
        return self.dense(self.flat(x / 255))

    def get_config(self):
        return {**super().get_config(), "softmax": self.softmax}


USED = {
    "augmentation inside": lambda: keras.Sequential(
        head(keras.Input((8, 8, 3)), layers.RandomFlip(), layers.RandomCrop(6, 6))
    ),
    "no input": lambda: keras.Sequential(head()),
    "any size": any_size,
    "bytes of any size": lambda: keras.Sequential(head(keras.Input((None, None, 3), dtype="uint8"))),
    "a subclass to logits": lambda: Subclass(),
    "a subclass to probabilities": lambda: Subclass(softmax=True),
}


def outputs_by_name():
    pixels = keras.Input((8, 8, 3), name="image")
    return keras.Model({"image": pixels}, {"out": layers.Dense(2)(layers.Flatten()(pixels))})


USED["one input and one output by name"] = outputs_by_name


@pytest.mark.parametrize("kind", USED)
def test_models_that_can_be_used_are_tried_and_can_be_trained(kind, data, tmp_path, in_process):
    model = made(data, lambda data, config: USED[kind]())
    assert tuple(model.inputs[0].shape[1:]) == (8, 8, 3)
    check(model, data, tmp_path)


def test_what_was_made_of_it_can_be_trained(data):
    """A size that is pinned, a crop that Keras does not do in validation, and pixels of another type."""
    first = [keras.Input((None, None, 3), dtype="float16"), layers.RandomCrop(6, 6), layers.Conv2D(2, 3)]
    model = made(data, lambda data, config: keras.Sequential([*first, layers.Flatten(), layers.Dense(2)]))
    history = fit(model, data, Config(epochs=1), progress_line=False).history
    assert np.isfinite(history["val_loss"][0])


def test_a_subclass_keeps_its_probabilities(data):
    for softmax in (False, True):
        own = Subclass(softmax)
        x = data.sample(4).astype("float32")
        found = made(data, lambda data, config, own=own: own).predict_on_batch(x)
        expected = own.predict_on_batch(x)
        np.testing.assert_allclose(found, expected if softmax else keras.ops.softmax(expected), atol=1e-6)


def test_layers_that_compute_in_half_precision_keep_their_weights_and_compute_in_float32(data):
    def create(data, config):
        keras.config.set_dtype_policy("mixed_float16")
        keras.config.set_floatx("float16")
        return keras.Sequential(head(keras.Input((8, 8, 3), dtype="float32")))

    def in_mixed(data, config):
        return keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2, dtype="mixed_float16")])

    model = made(data, in_mixed)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    try:
        with pytest.raises(ConfigError, match="float16: leave it float32, and --set precision"):
            made(data, lambda data, config: keras.Sequential(head(layers.Dense(3, dtype="float16"))))
        made(data, create)
    finally:
        assert keras.config.dtype_policy().name == "float32"
        assert keras.config.floatx() == "float32"


def two(inputs):
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    x = layers.Dense(2)(layers.Flatten()(a + b if inputs else a))
    return keras.Model([a, b], x) if inputs else keras.Model(a, [x, x])


def exits(data, config):
    sys.exit(3)


REFUSED = {
    "two inputs": (lambda *_: two(True), "one input and one output. Received: 2 and 1"),
    "two outputs": (lambda *_: two(False), "one input and one output. Received: 1 and 2"),
    "other classes": (
        lambda *_: keras.Sequential([layers.Flatten(), layers.Dense(3)]),
        "has 3 classes, the data has 2",
    ),
    "other images": (lambda *_: keras.Sequential(head(keras.Input((9, 9, 3)))), r"of shape \(9, 9, 3\)"),
    "maps": (lambda *_: keras.Sequential([layers.Conv2D(2, 3)]), r"must give \(batch, classes\)"),
    "a size that does not go": (lambda *_: keras.Sequential(head(layers.Conv2D(4, 9))), r"cannot be used for images"),
    "no softmax": (lambda *_: keras.Sequential([*head(), layers.ReLU()]), "must be a softmax, or linear"),
    "exits": (exits, "create_model failed: SystemExit: 3"),
    "raises": (lambda *_: 1 / 0, "create_model failed: ZeroDivisionError"),
    "no model": (lambda *_: "model", "must return a keras.Model. Received: str"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_models_that_cannot_be_trained_are_refused_in_a_line(kind, data):
    create, message = REFUSED[kind]
    with pytest.raises(ConfigError, match=message) as caught:
        made(data, create)
    assert "mine.py" in str(caught.value)
    assert "\n" not in str(caught.value)


class Unregistered(layers.Layer):
    def call(self, x):
        return 2 * x


def double(x):
    return 2 * x


UNSAVED = {
    "a lambda": (lambda: layers.Lambda(lambda x: 2 * x), "is a Lambda, which no file keeps safely"),
    "a layer": (Unregistered, r"Unregistered \(layer .*\) is not registered: decorate .*register_keras_serializable"),
    "a function": (lambda: layers.Dense(3, activation=double), "register_keras_serializable"),
    "the name of a layer": (lambda: layers.Conv2D(3, 1, name="ü $x$ 1"), "cannot be called 'ü .x. 1': letters without"),
    "no numbers": (
        lambda: layers.Rescaling(float("inf")),
        "not finite .* cannot be trained at any rate",
    ),
    "draws always": (lambda: Always(), "other outputs for the same images each time"),
}


@keras.saving.register_keras_serializable(package="tests")
class Always(layers.GaussianNoise):
    def __init__(self, stddev=1.0, **options):
        super().__init__(stddev, **options)

    def call(self, x, training=False):
        return super().call(x, training=True)


@pytest.mark.parametrize("kind", UNSAVED)
def test_what_no_file_would_keep_is_refused_before_the_training(kind, data, tmp_path, in_process):
    layer, message = UNSAVED[kind]
    model = made(data, lambda data, config: keras.Sequential(head(layer())))
    with pytest.raises(ConfigError, match=message) as caught:
        check(model, data, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class OnlyInference(layers.Layer):
    def call(self, x, training=False):
        if training:
            raise RuntimeError("not in training")
        return x


class OnlyFloat32(layers.Layer):
    def call(self, x):
        return tf.multiply(x, tf.constant(2.0))


@pytest.mark.parametrize(
    ("layer", "dtype_policy", "message"),
    [
        (OnlyInference, "float32", "mine.py: sequential.* fails in a training step in float32 .*not in training"),
        (OnlyInference, "mixed_bfloat16", r"in a training step in mixed_bfloat16 \(.*not in training"),
        (OnlyFloat32, "mixed_bfloat16", r"in mixed_bfloat16, and not in float32: .* --set precision=float32 \("),
    ],
)
def test_what_fails_in_a_training_step_alone_is_refused_before_it(layer, dtype_policy, message, data):
    model = made(data, lambda data, config: keras.Sequential(head(layer())))
    with pytest.raises(ConfigError, match=message) as caught:
        check_step(model, data.sample(4), dtype_policy, "mine.py")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_a_name_is_refused_as_a_name(data):
    model = made(data, lambda data, config: keras.Sequential(head(layers.ReLU(name="it's"))))
    with pytest.raises(ConfigError, match='cannot be called "it\'s"'):
        check_step(model, data.sample(4), "mixed_bfloat16", "mine.py")


def test_a_step_that_is_tried_leaves_the_model_as_it_is(data):
    first = [keras.Input((8, 8, 3)), layers.RandomFlip(), layers.BatchNormalization(), layers.Dropout(0.5)]
    model = made(data, lambda data, config: keras.Sequential(head(*first)))
    before = [np.array(weight) for weight in model.variables]
    for dtype_policy in ("float32", "mixed_bfloat16"):
        check_step(model, data.sample(4), dtype_policy, "mine.py")
    for weight, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_full_disk_is_no_fault_of_the_model(data, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "export_saved_model", full)
    with pytest.raises(WriteError, match="the disk is full"):
        check(made(data, lambda data, config: keras.Sequential(head())), data, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_recipe_prints_is_no_output_of_the_command(capsys, data, tmp_path):
    (tmp_path / "loud.py").write_text(
        "print('loud')\nCONFIG = {}\ndef create_model(data, config): print('louder'); 1 / 0\n"
    )
    recipe = recipes.load(tmp_path / "loud.py")
    with pytest.raises(ConfigError):
        own_model(recipe, data, Config())
    assert capsys.readouterr() == ("", "loud\nlouder\n")


def test_a_model_with_layers_of_its_recipe_is_loaded_from_its_run_folder(data, tmp_path, monkeypatch):
    recipe = tmp_path / "mine.py"
    recipe.write_text(REGISTERED)
    model = own_model(recipes.load(recipe), data, Config())
    run, lone = tmp_path / "run", tmp_path / "lone"
    for folder in (run / "members", lone):
        folder.mkdir(parents=True)
    for file in (run / "model.keras", run / "members" / "01.keras", lone / "model.keras"):
        model.save(file)
    copy_recipes([recipe, recipe], run)
    assert sorted(path.name for path in run.glob("*.py")) == ["recipe.py"]
    expected = model.predict_on_batch(data.sample(4))
    for file in (run / "model.keras", run / "members" / "01.keras"):
        keras.saving.get_custom_objects().pop("mine>Twice")  # as in a fresh process
        np.testing.assert_allclose(load_classifier(file).predict_on_batch(data.sample(4)), expected, rtol=1e-5)
    keras.saving.get_custom_objects().pop("mine>Twice")
    with pytest.raises(ValueError, match=r"holds 'Twice'.*beside the recipe\.py"):
        load_classifier(lone / "model.keras")


def test_recipes_that_register_the_same_layers_agree_whatever_else_they_say(tmp_path):
    texts = {
        "same": REGISTERED.replace("CONFIG = {}", "CONFIG = {'epochs': 3}  # tried again"),
        "other": REGISTERED.replace("2 * x", "3 * x"),
        "broken": "class Twice(:",
        "elsewhere": REGISTERED.replace("2 * x", "3 * x").replace('package="mine"', 'package="yours"'),
    }
    first = tmp_path / "recipe.py"
    first.write_text(REGISTERED)
    for name, text in texts.items():
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        if name == "other":
            with pytest.raises(EnsembleError, match=r"recipe\.py and .*other\.py: register two different 'Twice'"):
                check_recipes([first, first, path])
        else:
            check_recipes([first, path])

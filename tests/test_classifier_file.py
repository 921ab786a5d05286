"""Every kind of bad model file is refused in one line that names it."""

import ast
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks import recipes
from kerastricks.classifier_file import check_model_file, load_classifier, load_model_file
from kerastricks.errors import ModelFileError, RunFolderError, WeightsError

pytestmark = pytest.mark.tensorflow_only
PACKAGE = Path(kerastricks.__file__).parent


class Stranger(keras.layers.Layer):
    """Registered nowhere."""

    def call(self, x):
        return x


class Unshaped(keras.Model):
    """Without inputs and outputs of its own."""

    def call(self, x):
        return x


def classifier(*layers):
    return keras.Sequential([keras.Input((4, 4, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(2)])


def saved(path, model):
    model.save(path)
    return path


def rewritten(path, **changes):
    """The archive with other contents: of "config", "weights"; None leaves a member out."""
    parts = {"config": "config.json", "weights": "model.weights.h5"}
    changes = {parts[name]: contents for name, contents in changes.items()}
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (contents | changes).items():
            if text is not None:
                archive.writestr(name, text)


def flip(path, place):
    contents = bytearray(path.read_bytes())
    contents[place] ^= 0xFF
    path.write_bytes(contents)


def lambda_model():
    return classifier(keras.layers.Lambda(lambda x: x + 1))


BAD = {
    "missing": (lambda path: path.unlink(), "no such file: give the model.keras of a run"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder: give a .keras file"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged (empty): copy or train it again"),
    "text": (lambda path: path.write_text("no model"), "is not a Keras model (not a zip archive)"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-300]), "is damaged (the zip archive is cut off)"),
    "no config": (lambda path: rewritten(path, config=None), "is not a Keras model (no config.json inside)"),
    "no weights": (lambda path: rewritten(path, weights=None), "is not a Keras model (no model.weights.h5 inside)"),
    "no JSON": (lambda path: rewritten(path, config=b"{"), "is damaged, or not a Keras model ("),
    "no UTF-8": (lambda path: rewritten(path, config=b"\xff"), "is damaged, or not a Keras model ("),
    "other JSON": (lambda path: rewritten(path, config=b"[1]"), "is damaged, or not a Keras model ("),
    "no HDF5": (lambda path: rewritten(path, weights=b"weights"), "is damaged, or not a Keras model ("),
    "flipped": (lambda path: flip(path, 200), "is damaged"),
    "unknown layer": (lambda path: saved(path, classifier(Stranger())), "holds 'Stranger', which is no class"),
    "Python code": (lambda path: saved(path, lambda_model()), "holds a Lambda, which is Python code that is not run"),
}
NO_CLASSIFIERS = {
    "maps": (lambda: keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1)]), "(None, 4, 4, 2): give"),
    "tables": (lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]), "(None, 5) to (None, 2): give"),
    "subclass": (Unshaped, "no fixed shape to no fixed shape"),
}


@pytest.fixture
def file(tmp_path):
    return saved(tmp_path / "model.keras", classifier())


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line(file, kind):
    spoil, message = BAD[kind]
    spoil(file)
    for load in (load_classifier, load_model_file):
        with pytest.raises(ModelFileError) as error:
            load(file)
        text = str(error.value)
        assert text.startswith(f"{file}: {message}"), text
        assert "\n" not in text
        assert len(text) < len(str(file)) + 300
    assert isinstance(error.value, RunFolderError)
    assert isinstance(error.value, WeightsError)


@pytest.mark.parametrize("kind", NO_CLASSIFIERS)
def test_what_is_no_classifier_is_refused_and_loads_as_a_model(file, kind):
    make, received = NO_CLASSIFIERS[kind]
    model = make()
    if not model.built:
        model(np.zeros((1, 3)))
    keras.saving.register_keras_serializable("tests")(Unshaped)
    model.save(file)
    with pytest.raises(ModelFileError, match="must be a classifier") as error:
        load_classifier(file)
    assert received in str(error.value)
    assert isinstance(load_model_file(file), keras.Model)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.keras")
    for load in (check_model_file, load_model_file, load_classifier):
        with pytest.raises(ModelFileError, match=r"model\.keras: is no file: give a \.keras file"):
            load(tmp_path / "model.keras")


def test_a_classifier_is_loaded(file):
    check_model_file(file)
    assert load_classifier(file).output_shape == (None, 2)


RECIPE = """
import keras

@keras.saving.register_keras_serializable("tests", "Loner")
class Loner(keras.layers.Layer):
    def call(self, x):
        return x

CONFIG = {}
"""


def test_the_recipe_beside_it_registers_its_layers(tmp_path):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(RECIPE)
    known = keras.saving.get_custom_objects()
    try:
        recipes.load(recipe)
        file = saved(tmp_path / "model.keras", classifier(known.pop("tests>Loner")()))
        assert type(load_classifier(file).layers[0]).__name__ == "Loner"
    finally:
        known.pop("tests>Loner", None)
    recipe.write_text("CONFIG = {}\n")
    with pytest.raises(ModelFileError, match=r"'Loner', which recipe\.py beside it does not register: decorate"):
        load_classifier(file)
    recipe.write_text("CONFIG = 1\n")
    with pytest.raises(ModelFileError, match=r"recipe\.py: no dictionary CONFIG"):
        load_classifier(file)
    recipe.unlink()
    with pytest.raises(ModelFileError, match="'Loner', which is no class or function of Keras"):
        load_classifier(file)


def test_a_file_is_not_opened_by_anyone_else():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "classifier_file.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "attr", getattr(called, "id", None))
            assert name != "load_model", f"{path}:{node.lineno}"


def test_the_old_name_says_the_new_one():
    with pytest.raises(AttributeError, match=r"write kerastricks\.classifier_file\.load_classifier"):
        _ = recipes.load_model

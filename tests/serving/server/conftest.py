import shutil

import numpy as np
import pytest
import tensorflow as tf
from loopback import Loopback, export, loaded
from model_server import export_half_plus


@pytest.fixture(scope="session")
def half_plus(tmp_path_factory):
    """Folders of SavedModels by their constant."""
    folder = tmp_path_factory.mktemp("half-plus")
    for constant in (2, 3):
        export_half_plus(folder / str(constant), constant)
    return {constant: folder / str(constant) for constant in (2, 3)}


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """(Keras model, folder of its SavedModel) for 8 x 8 grey images and three classes."""
    import keras

    from kerastricks.serving import export_saved_model

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(x))
    folder = tmp_path_factory.mktemp("classifier")
    model.save(folder / "model.keras")
    return model, export_saved_model(folder / "model.keras", ["ant", "bee", "cat"], folder)


@pytest.fixture(scope="session")
def pictures():
    """Encoded PNGs and their pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype("uint8")
    return [tf.io.encode_png(one).numpy() for one in pixels], pixels


@pytest.fixture
def repository(tmp_path, half_plus):
    """half_plus_three with version 123."""
    shutil.copytree(half_plus[3], tmp_path / "repository" / "half_plus_three" / "123")
    return tmp_path / "repository"


@pytest.fixture(scope="session")
def repository_and_predict(tmp_path_factory):
    """Folder of a repository with one model, and its predictions for an array of images."""
    return export(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def models(repository_and_predict):
    """The repository's model, loaded."""
    with loaded(repository_and_predict[0]) as found:
        yield found


@pytest.fixture(scope="session")
def server(models):
    """A server without a token."""
    with Loopback(models) as running:
        yield running


@pytest.fixture(scope="session")
def predict(repository_and_predict):
    """The served model's probabilities, (batch, 3)."""
    return repository_and_predict[1]

"""The hyper model inside plain keras-tuner."""

import keras
import keras_tuner
import numpy as np
import pytest

from kerastricks import data
from kerastricks.errors import ConfigError, SearchError, SpaceError
from kerastricks.search import ClassifierHyperModel, Parameter, Space
from kerastricks.training import Config

BASE = Config(model="mlp(depth=1, width=8)", batch_size=64, epochs=2, learning_rate=0.05)
SPACE = Space(
    [
        Parameter("learning_rate", "float", min=0.01, max=0.5, sampling="log"),
        Parameter("model.width", "choice", values=(8, 12)),
        Parameter("batch_size", "choice", values=(64, 128)),
        Parameter("optimizer", "choice", values=("sgd(momentum=0.9)", "adamw")),
        Parameter("weight_decay", "float", min=1e-3, max=0.1, sampling="log", when={"optimizer": ("adamw",)}),
    ]
)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", batch_size=64).limited(512)


@pytest.fixture(scope="module")
def hyper_model(digits):
    return ClassifierHyperModel(digits, BASE, SPACE)


class Epochs(keras.callbacks.Callback):
    """Counts, in a list that a deep copy shares."""

    seen: list = []  # noqa: RUF012

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(sorted(logs))


@pytest.mark.tensorflow_only
def test_random_search_trains_and_gives_back_its_best_model(hyper_model, digits, tmp_path):
    tuner = keras_tuner.RandomSearch(
        hyper_model, objective="val_accuracy", max_trials=2, seed=3, directory=tmp_path, project_name="digits"
    )
    Epochs.seen.clear()
    tuner.search(callbacks=[Epochs()], verbose=0)
    assert Epochs.seen == [["accuracy", "loss", "val_accuracy", "val_loss"]] * 4
    best = tuner.oracle.get_best_trials(1)[0]
    assert best.status == "COMPLETED"
    model = tuner.get_best_models(1)[0]
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    _, accuracy = model.evaluate(*arrays(digits), verbose=0)
    assert accuracy == pytest.approx(best.score, abs=1e-6)
    # The values are those of the space, the conditional one where its condition holds.
    for trial in tuner.oracle.trials.values():
        values = trial.hyperparameters.values
        assert SPACE.active(values) == values
        assert ("weight_decay" in values) == (values["optimizer"] == "adamw")


def arrays(digits):
    batches = list(digits.validation)
    return tuple(np.concatenate([batch[part].numpy() for batch in batches]) for part in range(2))


@pytest.mark.tensorflow_only
def test_values_decide_model_and_optimizer(hyper_model):
    hyperparameters = SPACE.to_hyperparameters()
    hyperparameters.values = {
        "learning_rate": 0.1, "model.width": 12, "batch_size": 128, "optimizer": "adamw", "weight_decay": 0.01,
    }  # fmt: skip
    model = hyper_model.build(hyperparameters)
    assert [one.units for one in model.layers if isinstance(one, keras.layers.Dense)] == [12, 10]
    assert isinstance(model.optimizer, keras.optimizers.AdamW)
    assert model.optimizer.weight_decay == 0.01
    config = hyper_model.config(hyperparameters)
    assert (config.model, config.batch_size) == ("mlp(depth=1, width=12)", 128)


@pytest.mark.tensorflow_only
def test_the_tuners_own_parameters_win(hyper_model, tmp_path):
    given = keras_tuner.HyperParameters()
    given.Fixed("learning_rate", 0.125)
    tuner = keras_tuner.RandomSearch(
        hyper_model, "val_loss", max_trials=1, hyperparameters=given, directory=tmp_path, project_name="given"
    )
    assert [one.name for one in tuner.oracle.get_space().space].count("learning_rate") == 1
    assert tuner.oracle.create_trial("tuner0").hyperparameters.values["learning_rate"] == 0.125


@pytest.mark.tensorflow_only
def test_epochs_of_the_tuner_are_heard(hyper_model):
    hyperparameters = SPACE.to_hyperparameters()
    history = hyper_model.fit(hyperparameters, hyper_model.build(hyperparameters), epochs=4, initial_epoch=3)
    assert len(history.history["val_loss"]) == 1


@pytest.mark.tensorflow_only
def test_images_of_the_tuner_are_refused(hyper_model):
    hyperparameters = SPACE.to_hyperparameters()
    model = hyper_model.build(hyperparameters)
    with pytest.raises(SearchError, match="Received: validation_data"):
        hyper_model.fit(hyperparameters, model, validation_data=([], []))


@pytest.mark.tensorflow_only
def test_a_recipe_brings_data_configuration_and_model(tmp_path):
    recipe = tmp_path / "own.py"
    recipe.write_text(
        '"""Own."""\n'
        "import keras\n"
        'CONFIG = {"data": "digits", "epochs": 1, "augment": "pad_crop(1)"}\n'
        "def create_model(data, config):\n"
        "    layers = [keras.Input(data.image_shape), keras.layers.Flatten(), keras.layers.Dense(10)]\n"
        '    return keras.Sequential(layers, name="own")\n'
    )
    hyper_model = ClassifierHyperModel(recipe=recipe)
    assert not any(one.name.startswith("model") for one in hyper_model.space)
    assert hyper_model.space["augment.strength"].stands_for[1] == "pad_crop(1)"
    model = hyper_model.build(hyper_model.space.to_hyperparameters())
    assert model.name == "own"
    assert model.loss.get_config()["from_logits"]


@pytest.mark.tensorflow_only
def test_augmentation_and_image_size_are_read_as_asked_for(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.fromarray(np.full((16, 16, 3), number * 20, "uint8")).save(tmp_path / name / f"{number}.png")
    sizes = Space(
        [Parameter("image_size", "choice", values=(8, 16)), Parameter("augment", "choice", values=("", "flip"))]
    )
    hyper_model = ClassifierHyperModel(str(tmp_path), Config(model="mlp(depth=1)", batch_size=4), sizes)
    hyperparameters = sizes.to_hyperparameters()
    for side in (8, 16):
        hyperparameters.values = {"image_size": side, "augment": "flip"}
        assert hyper_model.build(hyperparameters).input_shape == (None, side, side, 3)
    hyper_model = ClassifierHyperModel(data.load(str(tmp_path), image_size=16), Config(model="mlp(depth=1)"), sizes)
    hyperparameters.values["image_size"] = 8
    with pytest.raises(ConfigError, match="image_size cannot be searched with images that are loaded"):
        hyper_model.build(hyperparameters)


@pytest.mark.tensorflow_only
def test_bad_spaces_and_missing_data_are_refused_at_once(digits):
    with pytest.raises(SpaceError, match=r"model\.depht: mlp has no option 'depht'"):
        ClassifierHyperModel(digits, BASE, Space([Parameter("model.depht", "choice", values=(1, 2))]))
    with pytest.raises(SearchError, match="data is missing"):
        ClassifierHyperModel()

"""KeepSnapshots, KeepTop, KeepLast: what is on the disk at each moment, and what it says of itself."""

import json

import keras
import numpy as np
import pytest

from kerastricks.callbacks import KeepLast, KeepSnapshots, KeepTop
from kerastricks.errors import ConfigError

IMAGES, LABELS = np.random.default_rng(0).normal(size=(24, 3)).astype("float32"), np.arange(24) % 2
STEPS = 4  # per epoch


def train(callbacks, epochs=4, initial_epoch=0, validation=True):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        IMAGES, LABELS, batch_size=6, epochs=epochs, initial_epoch=initial_epoch, shuffle=False, callbacks=callbacks,
        validation_data=(IMAGES, LABELS) if validation else None, verbose=0,
    )  # fmt: skip
    return model


class Weights(keras.callbacks.Callback):
    """The kernel after each step."""

    def __init__(self):
        super().__init__()
        self.kernels = []

    def on_train_batch_end(self, batch, logs=None):
        self.kernels.append(np.array(self.model.get_weights()[0]))


class Scores(keras.callbacks.Callback):
    """Gives the epochs other validation scores."""

    def __init__(self, accuracy, loss):
        super().__init__()
        self.accuracy, self.loss = accuracy, loss

    def on_epoch_end(self, epoch, logs=None):
        logs.update(val_accuracy=self.accuracy[epoch], val_loss=self.loss[epoch])


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def record(folder):
    return json.loads((folder / "members.json").read_text())


def test_a_snapshot_is_the_model_after_that_step(tmp_path):
    weights = Weights()
    train([weights, KeepSnapshots(tmp_path / "new" / "members", [3, 8, 16])])
    folder = tmp_path / "new" / "members"
    assert files(folder) == ["01.keras", "02.keras", "03.keras", "members.json"]
    for name, step in (("01", 3), ("02", 8), ("03", 16)):
        kernel = keras.models.load_model(folder / f"{name}.keras").get_weights()[0]
        np.testing.assert_array_equal(kernel, weights.kernels[step - 1])
    found = record(folder)
    assert (found["kind"], found["count"]) == ("snapshots", 3)
    assert [(member["epoch"], member["step"]) for member in found["members"]] == [(1, 3), (2, 8), (4, 16)]
    assert found["members"][0]["val_accuracy"] is None  # within an epoch nobody has validated
    assert found["members"][1]["val_loss"] > 0


@pytest.mark.tensorflow_only
def test_a_score_is_asked_for_within_an_epoch_alone(tmp_path):
    scores = {"val_accuracy": 0.25, "val_loss": 2.0}
    train([KeepSnapshots(tmp_path, [3, 8], lambda: scores)])
    first, second = record(tmp_path)["members"]
    assert (first["val_accuracy"], first["val_loss"]) == (0.25, 2.0)
    assert second["val_loss"] != 2.0


def test_the_best_epochs_stay_and_the_others_are_removed(tmp_path):
    # Of the equal ones, 2 and 4, the lower loss wins; of 1 and 5, equal in both, the earlier one.
    scores = Scores([0.5, 0.7, 0.6, 0.7, 0.5], [1.0, 0.9, 0.8, 0.7, 1.0])
    train([scores, KeepTop(tmp_path, 4)], epochs=5)
    assert [member["epoch"] for member in record(tmp_path)["members"]] == [4, 2, 3, 1]
    assert files(tmp_path) == ["01.keras", "02.keras", "03.keras", "04.keras", "members.json"]
    train([scores, KeepTop(tmp_path, 2)], epochs=5)
    assert [member["file"] for member in record(tmp_path)["members"]] == ["04.keras", "02.keras"]
    assert files(tmp_path) == ["02.keras", "04.keras", "members.json"]


@pytest.mark.tensorflow_only
def test_the_best_epochs_may_be_those_of_the_loss(tmp_path):
    train([Scores([0.9, 0.1, 0.5], [1.0, 0.5, 0.7]), KeepTop(tmp_path, 2, monitor="val_loss")], epochs=3)
    assert [member["epoch"] for member in record(tmp_path)["members"]] == [2, 3]


@pytest.mark.tensorflow_only
def test_the_last_epochs_stay(tmp_path):
    weights = Weights()
    train([weights, KeepLast(tmp_path, 2)], epochs=5)
    assert files(tmp_path) == ["04.keras", "05.keras", "members.json"]
    kernel = keras.models.load_model(tmp_path / "04.keras").get_weights()[0]
    np.testing.assert_array_equal(kernel, weights.kernels[4 * STEPS - 1])


@pytest.mark.tensorflow_only
def test_a_file_is_removed_when_the_next_epoch_has_begun_and_not_before(tmp_path):
    """A checkpoint that is written after the callback, or never, still finds what it knows."""
    seen = []

    def look(epoch, logs=None):
        seen.append(files(tmp_path))

    train([KeepLast(tmp_path, 1), keras.callbacks.LambdaCallback(on_epoch_end=look)], epochs=2)
    assert seen == [["01.keras", "members.json"], ["01.keras", "02.keras", "members.json"]]
    assert files(tmp_path) == ["02.keras", "members.json"]


@pytest.mark.tensorflow_only
def test_what_another_training_left_is_removed_and_other_files_are_not(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "best.keras").write_text("mine")
    train([KeepLast(tmp_path, 3)], epochs=3)
    train([KeepLast(tmp_path, 1)], epochs=1)
    assert files(tmp_path) == ["01.keras", "best.keras", "members.json", "notes.txt"]


@pytest.mark.tensorflow_only
def test_a_training_that_goes_on_in_another_process_keeps_its_members(tmp_path):
    train([KeepLast(tmp_path, 2)], epochs=2)
    train([KeepLast(tmp_path, 2)], epochs=3, initial_epoch=2)
    assert [(member["epoch"], member["step"]) for member in record(tmp_path)["members"]] == [(2, 8), (3, 12)]
    assert files(tmp_path) == ["02.keras", "03.keras", "members.json"]


@pytest.mark.tensorflow_only
def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="count must be 1 or more"):
        KeepLast(tmp_path, 0)
    for steps in ([], [0, 4], [4, 4], [8, 4]):
        with pytest.raises(ConfigError, match="steps must be numbers that rise from 1 or more"):
            KeepSnapshots(tmp_path, steps)
    with pytest.raises(ConfigError, match="KeepTop goes by val_accuracy, which is not in the logs"):
        train([KeepTop(tmp_path)], validation=False)

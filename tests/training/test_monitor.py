"""`monitor` of a configuration: what is computed for it, and which epochs it picks."""

import json

import keras
import numpy as np
import pytest
from sklearn import metrics

import kerastricks
from kerastricks.doctor.reading import read_log
from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.finetuning.configs import finetuning_config
from kerastricks.models import create
from kerastricks.training import Config, fit
from kerastricks.training.monitoring import compiled_metrics, logged_metrics, ranked_by
from kerastricks.training.weight_callbacks import is_as_good

pytestmark = pytest.mark.tensorflow_only
CONFIG = Config(epochs=4, learning_rate=0.3, precision="float32", jit=False, early_stopping_epochs=1)


@pytest.fixture(scope="module")
def data():
    """Three classes, of which the last is rare."""
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 40, 20])
    images = np.clip(draw.normal(110, 60, (120, 4, 4, 1)) + 40 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load((images.astype("uint8"), labels), augment="", batch_size=24, validation=0.4, seed=1)


def new_model():
    keras.utils.set_random_seed(3)
    return create("mlp(depth=1, width=4)", (4, 4, 1), 3)


def validated(model, data):
    predicted = np.concatenate([np.asarray(model.predict_on_batch(x.numpy())) for x, _ in data.validation])
    return data.labels("validation"), predicted.argmax(axis=1)


def test_early_stopping_takes_the_weights_of_the_best_macro_f1(data, tmp_path):
    model, config = new_model(), CONFIG.replace(epochs=12, monitor="val_macro_f1", keep="top(1)")
    history = fit(model, data, config, run_folder=tmp_path, progress_line=False).history
    labels, predicted = validated(model, data)
    assert metrics.f1_score(labels, predicted, average="macro") == pytest.approx(max(history["val_macro_f1"]), rel=1e-5)
    best = int(np.argmax(history["val_macro_f1"]))
    assert len(history["loss"]) in (best + 2, 12)
    kept = json.loads((tmp_path / "members" / "members.json").read_text())["members"]
    assert [one["val_macro_f1"] for one in kept] == [max(history["val_macro_f1"])]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["val_macro_f1"] for line in lines] == history["val_macro_f1"]
    np.testing.assert_allclose(read_log(tmp_path).val_accuracy, history["val_accuracy"])


def test_a_resumed_training_goes_on_by_the_same_metric(data, tmp_path):
    config = CONFIG.replace(epochs=3, monitor="val_balanced_accuracy", early_stopping_epochs=3)
    expected = fit(new_model(), data, config, progress_line=False).history["val_balanced_accuracy"]

    class Crash(keras.callbacks.Callback):
        is_saved = False

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(new_model(), data, config, callbacks=[Crash()], run_folder=tmp_path, progress_line=False)
    found = fit(new_model(), data, config, run_folder=tmp_path, progress_line=False).history
    assert found["val_balanced_accuracy"] == expected[2:]


def test_nothing_more_is_computed_unless_it_is_asked_for(data):
    assert [one.name for one in compiled_metrics(Config(), 3)] == ["accuracy"]
    for monitor in ("val_loss", "val_accuracy"):
        history = fit(new_model(), data, CONFIG.replace(epochs=1, monitor=monitor), progress_line=False).history
        assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert logged_metrics(Config(monitor="val_macro_f1"))[-1] == "val_macro_f1"
    both = Config(monitor="val_macro_f1", schedule="plateau(monitor=val_balanced_accuracy)")
    assert [one.name for one in compiled_metrics(both, 3)] == ["accuracy", "macro_f1", "balanced_accuracy"]


def test_averages_are_compared_by_the_monitored_metric():
    assert ranked_by(Config()) == ranked_by(Config(monitor="val_accuracy")) == "val_accuracy"
    last = {"val_accuracy": 0.9, "val_loss": 1.0, "val_macro_f1": 0.5}
    averaged = {"val_accuracy": 0.8, "val_loss": 1.0, "val_macro_f1": 0.6}
    assert is_as_good(averaged, last, ranked_by(Config(monitor="val_macro_f1")))
    assert not is_as_good(averaged, last)


def test_a_metric_that_nobody_validates_is_named(data):
    with pytest.raises(UnknownNameError, match=r"metric of validation to monitor.*macro_f1"):
        Config(monitor="macro_f1")
    with pytest.raises(ConfigError, match="monitor is of a training in one piece"):
        finetuning_config(Config(monitor="val_macro_f1"), data, None)

"""`keep` and `average` of a configuration: whole, resumable, in the model one uses."""

import json

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

import kerastricks
from kerastricks.errors import ConfigError
from kerastricks.models import create
from kerastricks.training import Config, fit, resumable, weight_callbacks
from kerastricks.training.weight_callbacks import snapshot_steps

STEPS = 6  # per epoch
BASE = {"epochs": 3, "learning_rate": 0.05, "precision": "float32", "jit": False}
CYCLES = {"schedule": "cosine_restarts(cycles=2)", "keep": "snapshots(2)"}


def load(augment="flip | pad_crop(1)", stages="host", batch_size=12):
    generator = np.random.default_rng(0)
    labels = np.arange(96) % 3
    images = np.clip(generator.normal(110, 40, (96, 8, 8, 3)) + 30 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load(
        (images.astype("uint8"), labels), augment=augment, batch_size=batch_size, seed=1, stages=stages
    )


def new_model():
    keras.utils.set_random_seed(7)
    return create("plain_cnn(widths=(4,), dropout=0.3)", (8, 8, 3), 3)


def weights(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def members(folder):
    return json.loads((folder / "members" / "members.json").read_text())["members"]


class Trace(keras.callbacks.Callback):
    """Weights after each step, and a crash before one."""

    def __init__(self, crash=None):
        super().__init__()
        self.crash, self.step = crash, 0
        self.after = []

    def on_train_batch_begin(self, batch, logs=None):
        if self.step == self.crash:
            raise RuntimeError("crash")

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.after.append([keras.ops.convert_to_numpy(each.value) for each in self.model.trainable_variables])


def test_snapshots_are_the_weights_at_the_ends_of_the_cycles(tmp_path):
    trace, model = Trace(), new_model()
    fit(model, load(), Config(**BASE, **CYCLES), callbacks=[trace], run_folder=tmp_path, progress_line=False)
    assert [(member["file"], member["epoch"], member["step"]) for member in members(tmp_path)] == [
        ("01.keras", 2, 9),
        ("02.keras", 3, 18),
    ]
    for member in members(tmp_path):
        kept = keras.models.load_model(tmp_path / "members" / member["file"])
        for variable, value in zip(kept.trainable_variables, trace.after[member["step"] - 1], strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)
    # Within an epoch it is validated as an epoch is: by what the kept model says.
    data = load()
    kept = keras.models.load_model(tmp_path / "members" / "01.keras")
    found = np.concatenate([np.asarray(kept.predict_on_batch(images.numpy())) for images, _ in data.validation])
    accuracy = float(np.mean(found.argmax(axis=1) == data.labels("validation")))
    assert members(tmp_path)[0]["val_accuracy"] == pytest.approx(accuracy)


def test_a_score_within_an_epoch_leaves_no_trace(tmp_path):
    """Neither in the weights nor in the loss and accuracy of that epoch."""
    histories, models = [], []
    for keep in ("", "snapshots(2)"):
        folder = tmp_path / (keep or "none")
        folder.mkdir()
        models.append(new_model())
        config = Config(**BASE, schedule="cosine_restarts(cycles=2)", keep=keep)
        histories.append(fit(models[-1], load(), config, run_folder=folder, progress_line=False).history)
    assert histories[0] == histories[1]
    assert all(np.array_equal(a, b) for a, b in zip(*map(weights, models), strict=True))


def test_a_model_that_ends_in_logits_is_kept_with_a_softmax_in_float32(tmp_path):
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    config = Config(**{**BASE, "precision": "mixed_bfloat16", "learning_rate": 1e-4}, keep="last(1)")
    fit(model, load(), config, run_folder=tmp_path, progress_line=False)
    kept = keras.models.load_model(tmp_path / "members" / "03.keras")
    images = next(iter(load().validation))[0].numpy()
    found, logits = (np.asarray(keras.ops.convert_to_numpy(m.predict_on_batch(images))) for m in (kept, model))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, exponentials / exponentials.sum(axis=1, keepdims=True), atol=1e-5)
    assert {layer.dtype_policy.name for layer in kept.layers} == {"float32"}


WAYS = {
    "snapshots": CYCLES,
    "top-swa": {"keep": "top(2)", "average": "swa(start=0.3)"},
    "last-ema": {"keep": "last(2)", "average": "ema(decay=0.8)"},
}
CRASHES = (4, 10, 12)


@pytest.mark.parametrize(
    ("way", "crash"),
    [
        pytest.param(way, crash, id=f"{name}-{crash}", marks=[pytest.mark.slow] * (crash != CRASHES[place]))
        for place, (name, way) in enumerate(WAYS.items())
        for crash in CRASHES
    ],
)
def test_a_resumed_training_ends_in_the_same_weights_and_members(way, crash, tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(resumable, "_SHARE_OF_TIME", 0)
    config = Config(**BASE, **way)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    undisturbed, resumed = new_model(), new_model()
    fit(undisturbed, load(), config, run_folder=whole, progress_line=False)
    trace = Trace(crash)
    trace.is_saved = False
    with pytest.raises(RuntimeError, match="crash"):
        fit(new_model(), load(), config, run_folder=broken, callbacks=[trace], progress_line=False)
    fit(resumed, load(), config, run_folder=broken, progress_line=False)
    assert all(np.array_equal(a, b) for a, b in zip(weights(undisturbed), weights(resumed), strict=True))
    assert members(whole) == members(broken)
    names = [sorted(path.name for path in (folder / "members").iterdir()) for folder in (whole, broken)]
    assert names[0] == names[1]
    for name in names[0]:
        if name.endswith(".keras"):
            first, second = (keras.models.load_model(folder / "members" / name) for folder in (whole, broken))
            assert all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    if "average" in way:
        assert (whole / "average.json").read_text() == (broken / "average.json").read_text()


def test_a_crash_after_the_last_epoch_still_ends_in_the_averages(tmp_path, monkeypatch):
    config = Config(**BASE, average="ema(decay=0.8)")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    undisturbed, resumed = new_model(), new_model()
    fit(undisturbed, load(), config, run_folder=whole, progress_line=False)

    def crash(logs=None):
        raise RuntimeError("crash")

    callback = keras.callbacks.LambdaCallback(on_train_end=crash)
    callback.is_saved = False
    with pytest.raises(RuntimeError, match="crash"):
        fit(new_model(), load(), config, run_folder=broken, callbacks=[callback], progress_line=False)
    fit(resumed, load(), config, run_folder=broken, progress_line=False)
    assert all(np.array_equal(a, b) for a, b in zip(weights(undisturbed), weights(resumed), strict=True))


@pytest.fixture
def averages_win(monkeypatch):
    """Whatever validation says, which has 16 images here."""
    monkeypatch.setattr(weight_callbacks, "is_as_good", lambda *_: True)


@pytest.mark.usefixtures("averages_win")
@pytest.mark.parametrize(
    "way",
    [
        {"average": "ema(decay=0.4)", "optimizer": "sgd(momentum=0.9)"},  # reached at the sixth step
        tensorflow_case({"average": "ema", "optimizer": "adamw"}),
        {"optimizer": "sgd(momentum=0.9, use_ema=True, ema_momentum=0.4)"},
    ],
    ids=["reached", "default", "of-the-optimizer"],
)
def test_exponential_averages_are_those_of_all_steps_with_a_decay_that_warms_up(way):
    """decay(t) = min(decay, (1 + t) / (10 + t)), t = 0 for the first step, whose weights are the first average."""
    trace, model = Trace(), new_model()
    rates = {model.layers[-1].name: 0.5}
    fit(model, load(), Config(**BASE, **way), callbacks=[trace], lr_multipliers=rates, progress_line=False)
    decay = 0.999 if way.get("average") == "ema" else 0.4
    for place, variable in enumerate(model.trainable_variables):
        expected = trace.after[0][place].astype("float64")
        for t, step in enumerate(trace.after[1:], start=1):
            now = min(decay, (1 + t) / (10 + t))
            expected = now * expected + (1 - now) * step[place]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), expected, atol=1e-5)


@pytest.mark.parametrize("average", ["swa(start=0.3)", tensorflow_case("ema(decay=0.8)")])
def test_an_average_that_validates_worse_is_not_used_and_that_is_said(average, tmp_path, monkeypatch, capsys):
    class Last(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.weights = weights(self.model.classifier)

    scores = [{"val_accuracy": 0.5, "val_loss": 1.0}, {"val_accuracy": 0.5, "val_loss": 1.1}]
    monkeypatch.setattr(weight_callbacks, "validation_scores", lambda *_: scores.pop(0))
    last, model = Last(), new_model()
    config = Config(**BASE, average=average)
    fit(model, load(), config, callbacks=[last], run_folder=tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), last.weights, strict=True))
    report = json.loads((tmp_path / "average.json").read_text())
    assert report["kept"] == "last_epoch"
    assert f"{average} NOT USED, it validates worse than the last weights" in capsys.readouterr().err


@pytest.mark.tensorflow_only
def test_an_average_is_as_good_by_accuracy_and_then_by_loss():
    def is_as_good(accuracy, loss):
        last = {"val_accuracy": 0.5, "val_loss": 1.0}
        return weight_callbacks.is_as_good({"val_accuracy": accuracy, "val_loss": loss}, last)

    assert is_as_good(0.5, 1.0)
    assert is_as_good(0.6, 2.0)
    assert not is_as_good(0.5, 1.1)
    assert not is_as_good(0.4, 0.5)
    assert not is_as_good(0.5, float("nan"))


@pytest.mark.usefixtures("averages_win")
@pytest.mark.parametrize("average", [tensorflow_case("swa(start=0.3)"), "ema(decay=0.8)"])
def test_statistics_are_those_of_the_averaged_weights(average, tmp_path):
    """Of all training images, which 6 batches of 13 hold, at the first normalisation."""
    model, data = new_model(), load(augment="", batch_size=13)
    fit(model, data, Config(**BASE, average=average), run_folder=tmp_path, progress_line=False)
    normalisation = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    inputs = keras.Model(model.inputs[0], normalisation.input)
    found = keras.ops.convert_to_numpy(inputs.predict_on_batch(data.sample().astype("float32"))).astype("float64")
    for variable, expected in (
        (normalisation.moving_mean, found.mean(axis=(0, 1, 2))),
        (normalisation.moving_variance, found.var(axis=(0, 1, 2))),
    ):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), expected, rtol=1e-3, atol=1e-3)
    report = json.loads((tmp_path / "average.json").read_text())
    predicted = np.concatenate(
        [keras.ops.convert_to_numpy(model.predict_on_batch(images.numpy())) for images, _ in data.validation]
    )
    accuracy = float(np.mean(predicted.argmax(axis=1) == data.labels("validation")))
    assert report["averaged"]["val_accuracy"] == pytest.approx(accuracy)
    assert set(report["last_epoch"]) == {"val_accuracy", "val_loss"}
    assert report["kept"] == "averaged"


@pytest.mark.parametrize("augment", [tensorflow_case("flip"), "flip | mixup(0.2)"])
def test_statistics_are_measured_behind_the_device_stage(augment, monkeypatch):
    """With the model that augments, on one more epoch of what it is trained on."""
    seen = []
    monkeypatch.setattr(weight_callbacks, "recompute_batch_norm", lambda *given: seen.append(given))
    model, data = new_model(), load(augment, "device")
    fit(model, data, Config(**BASE, average="ema(decay=0.8)"), progress_line=False)
    [(trained, batches)] = seen
    batches = list(batches)
    assert trained.classifier.layers[0] is model.layers[0]
    assert trained.device_stage is not None
    assert len(batches) == STEPS
    for inputs, _ in batches:
        trained(keras.tree.map_structure(lambda part: part.numpy(), inputs), training=True)


@pytest.mark.tensorflow_only
def test_snapshots_follow_the_cycles():
    assert snapshot_steps(Config(epochs=10, keep="snapshots(4)"), 4, 10) == [25, 50, 75, 100]
    grown = Config(epochs=7, keep="snapshots(3)", schedule="cosine_restarts(cycles=3, t_mul=2.0)")
    assert snapshot_steps(grown, 3, 10) == [10, 30, 70]
    with pytest.raises(ConfigError, match="disagree: a snapshot is taken where a cycle ends"):
        snapshot_steps(Config(epochs=10, keep="snapshots(3)", schedule="cosine_restarts(cycles=5)"), 3, 10)
    with pytest.raises(ConfigError, match="there are only 2 steps"):
        snapshot_steps(Config(epochs=1, keep="snapshots(3)"), 3, 2)


@pytest.mark.tensorflow_only
def test_what_is_kept_needs_a_place():
    with pytest.raises(ConfigError, match=r"keep='top\(3\)' needs a place"):
        fit(new_model(), load(), Config(**BASE, keep="top(3)"), progress_line=False)

"""fit: trains in place, is repeatable to the bit, and goes on where it was interrupted."""

import collections
import json
import shutil

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

import kerastricks
from kerastricks import spec
from kerastricks.errors import CheckpointError, ConfigError, Interrupted, TrainingDivergedError
from kerastricks.models import create
from kerastricks.training import Config, checkpoint, fit, resumable

CONFIG = Config(epochs=3, learning_rate=0.05, precision="float32", jit=False, early_stopping_epochs=10)
STEPS = 6  # per epoch


def load(augment="flip | pad_crop(1) | fancy_pca(0.1)"):
    generator = np.random.default_rng(0)
    labels = np.arange(96) % 3
    images = np.clip(generator.normal(110, 40, (96, 8, 8, 3)) + 30 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load((images.astype("uint8"), labels), augment=augment, batch_size=12, seed=1)


def new_model():
    keras.utils.set_random_seed(7)
    return create("plain_cnn(widths=(4,), dropout=0.3)", (8, 8, 3), 3)


def weights(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


class Counter(keras.callbacks.Callback):
    """A number that a resumed run must know."""

    def __init__(self):
        super().__init__()
        self.seen = 0
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        self.batches.append(batch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A training that nothing disturbed: its model, and the folder, of which copies are changed."""
    model, folder = new_model(), tmp_path_factory.mktemp("finished")
    fit(model, load(), CONFIG, run_folder=folder)
    return model, folder


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished[1], tmp_path / "copied")


def crash_after(batches, counter):
    def crash(batch, logs=None):
        if counter.seen == batches:
            raise RuntimeError("crash")

    return keras.callbacks.LambdaCallback(on_train_batch_begin=crash)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("stages", ["host", "device"])
def test_each_spec_is_parsed_once(stages, monkeypatch):
    images, labels = np.zeros((16, 8, 8, 3), "uint8"), np.arange(16) % 2
    data = kerastricks.data.load((images, labels), augment="flip", batch_size=4, stages=stages)
    model, counts, parse = create("mlp(depth=1)", (8, 8, 3), 2), collections.Counter(), spec.parse_sequence

    def counted(text):
        counts[text] += 1
        return parse(text)

    monkeypatch.setattr(spec, "parse_sequence", counted)
    config = Config(epochs=1, augment="auto", schedule="cosine", scale_lr="linear", average="swa(0.5)", jit=False)
    fit(model, data, config, progress_line=False)
    # "flip" was parsed when the images were loaded.
    assert counts == dict.fromkeys([config.model, config.optimizer, config.schedule, config.average], 1)


def test_training_lowers_the_loss_and_leaves_a_float32_model():
    model = new_model()
    history = fit(model, load(), Config(epochs=6, learning_rate=0.1, precision="mixed_bfloat16", jit=False))
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


def test_same_seed_gives_the_same_weights_to_the_bit(finished):
    second = new_model()
    fit(second, load(), CONFIG)
    assert same(finished[0], second)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """A training with a callback that has a state: the model, the callback and the folder."""
    model, counter, folder = new_model(), Counter(), tmp_path_factory.mktemp("counted")
    fit(model, load(), CONFIG, run_folder=folder, callbacks=[counter, crash_after(None, counter)])
    return model, counter, folder


@pytest.mark.parametrize("crash", [tensorflow_case(3), tensorflow_case(STEPS), STEPS + 4])
def test_a_resumed_training_ends_in_the_same_weights_and_records(crash, counted, tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(resumable, "_SHARE_OF_TIME", 0)
    undisturbed, counter, whole = counted
    broken = tmp_path / "broken"
    broken.mkdir()

    first = Counter()
    with pytest.raises(RuntimeError, match="crash"):
        fit(new_model(), load(), CONFIG, run_folder=broken, callbacks=[first, crash_after(crash, first)])
    assert 0 < checkpoint.read_position(broken / checkpoint.FILE_NAME).step <= crash
    resumed, resumed_counter = new_model(), Counter()
    fit(resumed, load(), CONFIG, run_folder=broken, callbacks=[resumed_counter, crash_after(None, counter)])

    assert same(undisturbed, resumed)
    assert resumed_counter.seen == counter.seen == 3 * STEPS  # the callback's own state came back
    assert counter.batches == resumed_counter.batches == [*range(STEPS)] * 3
    np.testing.assert_array_equal(*(np.fromfile(f / "batch_loss.f32", "<f4") for f in (whole, broken)))
    for a, b in zip(_lines(whole), _lines(broken), strict=True):
        for name in ("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert a[name] == b[name], name


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_batch_losses_average_to_the_logged_loss(finished):
    _, folder = finished
    losses = np.fromfile(folder / "batch_loss.f32", "<f4").reshape(3, STEPS)
    np.testing.assert_allclose(losses.mean(axis=1), [line["loss"] for line in _lines(folder)], rtol=1e-5)


@pytest.mark.tensorflow_only
def test_a_finished_training_is_not_repeated(finished, copied):
    again = new_model()
    fit(again, load(), CONFIG, run_folder=copied)
    assert same(finished[0], again)


@pytest.mark.tensorflow_only
def test_stop_request_saves_and_raises(tmp_path):
    class Request(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit(new_model(), load(), CONFIG, run_folder=tmp_path, callbacks=[Request()])
    assert checkpoint.read_position(tmp_path / checkpoint.FILE_NAME).step == 3


@pytest.mark.tensorflow_only
def test_a_full_disk_is_reported_and_the_last_checkpoint_stays(copied, monkeypatch):
    path = copied / checkpoint.FILE_NAME
    good = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(CheckpointError, match=r"the disk is full; the last good checkpoint is still there"):
        checkpoint.write_whole(path, {"a": np.zeros(3)})
    assert path.read_bytes() == good
    assert not list(copied.glob(".tmp-*"))


@pytest.mark.tensorflow_only
def test_a_checkpoint_of_another_model_is_refused(copied):
    other = create("plain_cnn(widths=(5,))", (8, 8, 3), 3)
    with pytest.raises(CheckpointError, match=r"checkpoint.npz"):
        fit(other, load(), CONFIG, run_folder=copied)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-200], lambda b: b[:500] + b"x" * 50 + b[550:]])
def test_a_damaged_checkpoint_is_named(damage, copied):
    path = copied / checkpoint.FILE_NAME
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"checkpoint.npz: damaged .*delete it to start the run again"):
        fit(new_model(), load(), CONFIG, run_folder=copied)


@pytest.mark.tensorflow_only
def test_a_callback_that_sets_the_rate_needs_a_constant_schedule():
    with pytest.raises(ConfigError, match=r'ReduceLROnPlateau sets the learning rate.*schedule="constant"'):
        fit(new_model(), load(), CONFIG, callbacks=[keras.callbacks.ReduceLROnPlateau()])
    with pytest.raises(
        ConfigError, match=r"take schedule=\"plateau\(factor=2, patience=5\)\", which needs no callback"
    ):
        fit(new_model(), load(), CONFIG, callbacks=[kerastricks.callbacks.PlateauDecay()])
    with pytest.raises(ConfigError, match=r"so does schedule='plateau': leave one of them out"):
        fit(new_model(), load(), Config(schedule="plateau"), callbacks=[keras.callbacks.ReduceLROnPlateau()])
    raised = Config(schedule="constant", scale_lr="linear", base_batch=4)
    with pytest.raises(ConfigError, match=r"schedule='constant' with the warm-up of scale_lr='linear'"):
        fit(new_model(), load(), raised, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)])
    fit(new_model(), load(), Config(epochs=1, schedule="constant"), callbacks=[keras.callbacks.ReduceLROnPlateau()])


@pytest.mark.parametrize("schedule", ["constant", tensorflow_case("step(at=0.5)"), tensorflow_case("plateau")])
def test_a_raised_rate_is_reached_by_a_warm_up(schedule):
    found = []

    class Log(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    config = Config(
        epochs=5, learning_rate=0.01, schedule=schedule, scale_lr="linear", base_batch=4, precision="float32", jit=False
    )
    fit(new_model(), load(""), config, callbacks=[Log()], progress_line=False)
    # Batches of 12 for 4: from 0.01 to 0.03 over a fifth of the 30 steps. A schedule knows of the step that was made.
    first = 0 if schedule == "plateau" else 1
    expected = 0.01 + 0.02 * np.minimum(np.arange(first, 14) / 6, 1)
    np.testing.assert_allclose(found[: 14 - first], expected, rtol=1e-5)


def test_a_loss_that_is_not_finite_ends_the_training():
    with pytest.raises(TrainingDivergedError, match="lower learning_rate"):
        fit(new_model(), load(), Config(epochs=1, learning_rate=1e30, clip_norm=None, precision="float32", jit=False))


@pytest.mark.tensorflow_only
def test_early_stopping_takes_the_best_weights():
    data = load("")
    model = new_model()
    config = Config(epochs=12, learning_rate=0.3, early_stopping_epochs=1, precision="float32", jit=False)
    history = fit(model, data, config).history["val_loss"]
    assert len(history) < 12
    loss = kerastricks.losses.LabelSmoothingCrossentropy(config.label_smoothing, from_logits=False)
    found = [float(loss(y.numpy(), model.predict_on_batch(x.numpy()))) * len(y) for x, y in data.validation]
    assert sum(found) / len(data.labels("validation")) == pytest.approx(min(history), rel=1e-3)


@pytest.mark.tensorflow_only
def test_a_model_that_does_not_fit_the_images_is_refused():
    with pytest.raises(ConfigError, match=r"model takes images of shape \(9, 9, 3\)"):
        fit(create("plain_cnn(widths=(4,))", (9, 9, 3), 3), load(), CONFIG)
    with pytest.raises(ConfigError, match="model has 4 classes, the data has 3"):
        fit(create("plain_cnn(widths=(4,))", (8, 8, 3), 4), load(), CONFIG)


@pytest.mark.tensorflow_only
def test_model_checkpoint_writes_the_model_one_uses(tmp_path):
    model = new_model()
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
    fit(model, load(), Config(epochs=2, precision="mixed_bfloat16", jit=False), callbacks=[saver])
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(loaded.predict_on_batch(images), model.predict_on_batch(images), atol=1e-5)


@pytest.mark.tensorflow_only
def test_somebody_elses_model_is_trained_too():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    before = weights(model)
    fit(model, load(), CONFIG)
    assert not np.array_equal(before[0], weights(model)[0])

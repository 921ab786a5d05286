"""A doctor in `kerastricks.training.fit`: what it stops is an error, and a resumed one knows what was before."""

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.callbacks import Doctor
from kerastricks.callbacks import doctor as live
from kerastricks.doctor import Finding, read_log
from kerastricks.errors import Interrupted, TrainingDivergedError
from kerastricks.training import Config, fit

CONFIG = Config(epochs=2, batch_size=16, learning_rate=0.01, precision="float32", jit=False, optimizer="sgd")


@pytest.fixture
def data():
    pixels = np.random.default_rng(0).integers(0, 256, (96, 6, 6, 1)).astype("uint8")
    return kerastricks.data.load((pixels, np.arange(96) % 2), batch_size=16, augment="")


def train(data, folder, doctor, config=CONFIG, callbacks=()):
    model = kerastricks.models.create("mlp(depth=1, width=4)", data.image_shape, 2)
    return fit(model, data, config, callbacks=[doctor, *callbacks], run_folder=folder, progress_line=False)


def test_it_sees_the_losses_that_are_logged(data, tmp_path):
    doctor = Doctor(say=[].append, batch_size=16)
    train(data, tmp_path, doctor)
    logged = np.fromfile(tmp_path / "batch_loss.f32", "<f4")
    assert len(set(logged)) == len(logged)
    np.testing.assert_array_equal(doctor.log.step_loss, logged)
    assert (doctor.log.classes, doctor.log.optimizer) == (2, "sgd")
    assert doctor.stopped is None


@pytest.mark.tensorflow_only
def test_what_it_stops_for_is_the_error_and_the_logs_reach_as_far(data, tmp_path):
    said = []
    doctor = Doctor(stop_on={"nan"}, say=said.append)
    wild = CONFIG.replace(learning_rate=1e30, clip_norm=None, weight_decay=0.0)
    with pytest.raises(TrainingDivergedError, match=r"The loss is not a number \(nan\): the loss is NaN .* from step"):
        train(data, tmp_path, doctor, wild)
    logged = np.fromfile(tmp_path / "batch_loss.f32", "<f4")
    assert len(logged) == len(doctor.log.steps)
    assert not np.isfinite(logged[-1])
    # The folder without an epoch has a log all the same.
    assert read_log(tmp_path).step_loss.tolist() == pytest.approx(doctor.log.step_loss.tolist(), rel=1e-6)


@pytest.mark.tensorflow_only
def test_an_inferred_failure_ends_it_too(data, tmp_path, monkeypatch):
    class Hopeless:
        findings = (Finding(code="not_learning", evidence="the loss stays", advice="begin anew", confidence=0.9),)

    monkeypatch.setattr(live, "diagnose", lambda log: Hopeless)
    with pytest.raises(TrainingDivergedError, match=r"^Nothing .*\(not_learning\): the loss stays; next: begin anew$"):
        train(data, tmp_path, Doctor({"not_learning"}, say=[].append), CONFIG.replace(epochs=6))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2  # the third epoch ended it


class StopWithin(keras.callbacks.Callback):
    """Ctrl-C in the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        import signal

        self.seen = getattr(self, "seen", 0) + 1
        if self.seen == 7:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.tensorflow_only
def test_a_resumed_one_knows_what_was_before(data, tmp_path):
    with pytest.raises(Interrupted):
        train(data, tmp_path, Doctor(say=[].append), callbacks=[StopWithin()])
    assert len(np.fromfile(tmp_path / "batch_loss.f32", "<f4")) == 7
    doctor = Doctor(say=[].append)
    fit_again = kerastricks.models.create("mlp(depth=1, width=4)", data.image_shape, 2)
    stop = StopWithin()
    stop.seen = 7
    fit(fit_again, data, CONFIG, callbacks=[doctor, stop], run_folder=tmp_path, progress_line=False)
    logged = np.fromfile(tmp_path / "batch_loss.f32", "<f4")
    np.testing.assert_array_equal(doctor.log.step_loss, logged)
    assert doctor.log.steps.tolist() == list(range(1, len(logged) + 1))
    assert doctor.log.epochs.tolist() == [1, 2]

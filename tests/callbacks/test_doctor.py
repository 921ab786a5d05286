"""Live diagnosis: when a finding is said, what stops a training, and what a second `fit` is."""

import keras
import numpy as np
import pytest

from kerastricks.callbacks import BatchLossLog, Doctor
from kerastricks.callbacks import doctor as live
from kerastricks.callbacks.logs import StepLoss
from kerastricks.doctor import Finding, TrainingLog
from kerastricks.errors import ConfigError, UnknownNameError

EPOCHS = 12


def network(rate=0.01, units=3, loss="sparse_categorical_crossentropy"):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, "softmax")])
    model.compile(keras.optimizers.SGD(rate), loss, jit_compile=False)
    return model


def images(count=24, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, 4)).astype("float32"), draw.integers(0, 3, count)


class Driven:
    """A `fit` that calls the doctor with losses that are given, as Keras calls its callbacks."""

    def __init__(self, epochs=EPOCHS, steps=20, **arguments):
        self.said = []
        self.doctor = Doctor(say=self.said.append, **arguments)
        self.model = network()
        self.model.stop_training = False
        self.doctor.set_model(self.model)
        self.doctor.set_params({"epochs": epochs, "steps": steps})

    def fit(self, losses, first_epoch=0, **logs):
        """Epochs of losses (epochs, steps); returns (epoch, batch) at which it stopped."""
        self.model.stop_training = False
        self.doctor.on_train_begin()
        stopped = None
        for epoch, own in enumerate(losses, start=first_epoch):
            self.doctor.on_epoch_begin(epoch)
            for batch in range(len(own)):
                self.doctor.on_train_batch_end(batch, {"loss": np.mean(own[: batch + 1])})
                if self.model.stop_training:
                    stopped = epoch, batch
                    break
            self.doctor.on_epoch_end(epoch, {"loss": np.mean(own[: batch + 1]), **logs})
            if self.model.stop_training:
                break
        self.doctor.on_train_end()
        return stopped


def falling(epochs, steps=20):
    return np.linspace(1.1, 0.3, epochs * steps).reshape(epochs, steps)


@pytest.fixture
def scripted(monkeypatch):
    """Diagnoses that are given in place of those of the log."""

    def script(findings):
        left = iter(findings)

        class Scripted:
            def __init__(self, log):
                self.findings = tuple(Finding(code=code, evidence=code, advice="", confidence=sure)
                                      for code, sure in next(left, ()))  # fmt: skip

        monkeypatch.setattr(live, "diagnose", Scripted)

    return script


def test_a_loss_that_is_not_finite_is_said_once_and_stops():
    said = []
    doctor = Doctor(stop_on={"nan"}, say=said.append)
    x, y = images(64)
    x[20] = np.nan
    history = network().fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[doctor])
    assert doctor.stopped.code == "nan"
    assert "step 6" in doctor.stopped.evidence
    assert len(history.epoch) == 1
    assert sum("not a number" in line for line in said) == 1
    assert doctor.diagnosis.find("nan") is not None
    assert len(doctor.log.steps) == 6


def test_losses_are_those_of_the_batches_and_the_model_is_known(tmp_path):
    doctor = Doctor(say=[].append, batch_size=4)
    x, y = images()
    callbacks = [doctor, BatchLossLog(tmp_path / "loss.f32")]
    network(rate=0.25).fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=callbacks, validation_split=0.25)
    log = doctor.log
    np.testing.assert_allclose(log.step_loss, np.fromfile(tmp_path / "loss.f32", "<f4"), rtol=1e-6)
    assert log.loss.shape == log.val_loss.shape == (3,)
    assert (log.classes, log.optimizer, log.batch_size) == (3, "sgd", 4)
    np.testing.assert_allclose(log.learning_rate, 0.25)
    assert log.steps_per_epoch == len(log.steps) / 3


def test_without_validation_and_with_a_later_fit(tmp_path):
    doctor = Doctor(say=[].append)
    x, y = images()
    model = network()
    arguments = {"batch_size": 8, "verbose": 0, "callbacks": [doctor]}
    model.fit(x, y, epochs=2, **arguments)
    assert np.isnan(doctor.log.val_loss).all()
    model.fit(x, y, epochs=5, initial_epoch=2, **arguments)
    assert doctor.log.epochs.tolist() == [1, 2, 3, 4, 5]
    assert doctor.log.steps.tolist() == list(range(1, 16))
    model.fit(x, y, epochs=4, initial_epoch=1, **arguments)
    assert doctor.log.epochs.tolist() == [1, 2, 3, 4]
    assert doctor.log.steps.tolist() == list(range(1, 13))
    model.fit(x, y, epochs=1, **arguments)
    assert doctor.log.epochs.tolist() == [1]


@pytest.mark.tensorflow_only
def test_divergence_stops_within_its_epoch():
    losses = falling(1, 400)
    losses[0, 200:] = 5.0
    driven = Driven(epochs=1, steps=400, stop_on=["diverged"])
    epoch, batch = driven.fit(losses)
    # 10 steps are averaged, 25 must be high, and it looks every 25.
    assert epoch == 0
    assert 220 <= batch <= 200 + 10 + 25 + 25
    assert driven.doctor.stopped.code == "diverged"
    assert driven.doctor.failure.startswith("The training diverged (diverged): from step 2")
    assert driven.said[0].startswith(f"doctor at step {batch + 1}: The training diverged (critical): ")
    assert driven.said[2] == "  the training is stopped"


@pytest.mark.tensorflow_only
def test_what_is_not_asked_to_stop_is_only_said():
    losses = falling(2, 200)
    losses[1] = 5.0
    driven = Driven(epochs=2, steps=200, stop_on=["nan"])
    assert driven.fit(losses) is None
    assert driven.doctor.stopped is None
    assert sum("diverged" in line for line in driven.said) == 1


@pytest.mark.tensorflow_only
def test_a_validation_loss_that_is_not_finite_stops():
    driven = Driven(stop_on=["nan"])
    driven.fit(falling(3), val_loss=float("nan"))
    assert driven.doctor.stopped.code == "nan"
    assert driven.doctor.log.epochs.tolist() == [1]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("pattern", "epoch"),
    [
        ("............", None),
        ("xxxxxxxxxxxx", 6),  # half of them
        ("......xxxx..", 9),  # three in a row
        ("xx.xx.xx.xxx", 12),
        ("xx.xx.xx.xx.", None),
        ("......lllxxx", 12),  # confident in the last ones only
        ("......llllll", None),
    ],
)
def test_a_finding_is_said_when_it_is_sure(scripted, pattern, epoch):
    kinds = {".": (), "x": (("overfitting", 0.9),), "l": (("overfitting", 0.89),)}
    scripted([kinds[one] for one in pattern])
    driven = Driven()
    driven.fit(falling(EPOCHS))
    expected = [] if epoch is None else [f"doctor at epoch {epoch} of 12: Overfitting (warning, 90% sure): overfitting"]
    assert driven.said == expected


@pytest.mark.tensorflow_only
def test_a_finding_that_comes_and_goes_is_said_once(scripted):
    scripted([(("plateau", 0.9),) if epoch % 10 >= 6 else () for epoch in range(41)])
    driven = Driven(epochs=40)
    driven.fit(falling(40))
    assert len([line for line in driven.said if "stopped falling" in line]) == 1


@pytest.mark.tensorflow_only
def test_what_only_the_end_can_show_is_said_at_the_end(scripted):
    scripted([(("stopped_early", 1.0), ("lr_good", 0.9))] * (EPOCHS + 1))
    driven = Driven()
    driven.fit(falling(EPOCHS))
    assert len(driven.said) == 2
    assert all(line.startswith("doctor at the end: ") for line in driven.said)


@pytest.mark.tensorflow_only
def test_an_inferred_failure_stops_when_it_is_sure_and_not_at_the_end(scripted):
    scripted([(("not_learning", 0.9),)] * 20)
    driven = Driven(stop_on={"not_learning"})
    driven.fit(falling(EPOCHS))
    assert driven.doctor.log.epochs[-1] == 6
    scripted([(), (), (), (("not_learning", 0.9),)])
    driven = Driven(epochs=3, stop_on={"not_learning"})
    driven.fit(falling(3))
    assert driven.doctor.stopped is None
    assert driven.said[0].startswith("doctor at the end: Nothing is learned")


@pytest.mark.tensorflow_only
def test_a_resumed_training_is_diagnosed_as_a_whole():
    before, after = falling(2, 100), falling(2, 100)
    after[:] = 5.0
    steps = np.arange(1.0, 201)
    earlier = TrainingLog(epochs=np.array([1.0, 2.0]), loss=before.mean(axis=1), val_loss=np.full(2, np.nan),
                          accuracy=np.full(2, np.nan), val_accuracy=np.full(2, np.nan), learning_rate=np.full(2, 0.1),
                          steps=steps, step_loss=before.ravel())  # fmt: skip
    driven = Driven(epochs=4, steps=100, stop_on=["diverged"], earlier=earlier)
    assert driven.fit(after, first_epoch=2)[0] == 2
    assert driven.doctor.stopped.code == "diverged"
    alone = Driven(epochs=4, steps=100, stop_on=["diverged"])
    assert alone.fit(after, first_epoch=2) is None  # a loss that is high from the beginning


@pytest.mark.tensorflow_only
def test_an_epoch_of_few_steps_is_not_diagnosed_each_time(monkeypatch):
    made = []
    diagnose = live.diagnose
    monkeypatch.setattr(live, "diagnose", lambda log: made.append(1) or diagnose(log))
    driven = Driven(epochs=400, steps=2)
    driven.fit(falling(400, 2))
    assert len(made) < 200


@pytest.mark.tensorflow_only
def test_stop_on_is_checked():
    with pytest.raises(UnknownNameError, match="no finding is called 'divergd': did you mean diverged"):
        Doctor(stop_on={"divergd"})
    for code, kind in (("overfitting", "warning"), ("plateau", "note"), ("vanishing_gradients", "critical")):
        with pytest.raises(ConfigError, match=f"nan, diverged, .*Received: '{code}', a {kind}"):
            Doctor(stop_on=[code])
    assert Doctor(stop_on="nan").stop_on == {"nan"}


@pytest.mark.tensorflow_only
def test_steps_that_are_executed_together_have_their_mean():
    losses = np.random.default_rng(0).uniform(1, 2, (3, 12))
    found = StepLoss()
    for own in losses:
        for last in range(3, 12, 4):
            mean = found.after(None, last, {"loss": own[: last + 1].mean()})
            assert mean == pytest.approx(own[last - 3 : last + 1].mean())

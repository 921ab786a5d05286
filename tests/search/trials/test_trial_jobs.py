"""What the process of a trial does, in this one."""

import json

import numpy as np
import pytest

import kerastricks
from kerastricks.data.kept_pixels import keep_pixels
from kerastricks.doctor import Finding
from kerastricks.errors import TrainingDivergedError
from kerastricks.search.trials import jobs
from kerastricks.training import Config
from kerastricks.training.config import LOGGED

pytestmark = pytest.mark.tensorflow_only

CONFIG = Config(
    data="made", model="mlp(depth=1, width=8, dropout=0.2)", augment="pad_crop(1)", batch_size=16, epochs=3, seed=2
)


class Channel:
    """The search's side; it stops the trial after so many answers."""

    def __init__(self, goes_on=1_000):
        self.told = []
        self.goes_on = goes_on

    def send(self, **event):
        self.told.append(event)

    def receive(self):
        return {"go_on": len(self.told) < self.goes_on}

    @property
    def steps(self):
        return [(event["epoch"], event["epochs"]) for event in self.told]


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    generator = np.random.default_rng(0)
    labels = np.arange(96) % 2
    images = (generator.integers(0, 156, (96, 6, 6, 1)) + 100 * labels[:, None, None, None]).astype("uint8")
    folder = tmp_path_factory.mktemp("kept") / "pixels"
    keep_pixels(kerastricks.data.load((images, labels), seed=2), folder)
    return folder


@pytest.fixture
def job(tmp_path, pixels):
    def make(name, **fields):
        made = {
            "config": CONFIG.as_dict(),
            "folder": str(tmp_path / name),
            "recipe": str(tmp_path / "no_recipe.py"),
            "pixels": str(pixels),
            "kept": True,
            "epochs": 3,
            "source": None,
            "folds": 0,
            "doctor": False,
        }
        return {**made, **fields}

    return make


def losses(result):
    """What does not depend on the clock, to the bit."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in result["curve"]]


@pytest.fixture
def whole(job):
    result = jobs.train(job("whole"), Channel())
    assert result["status"] == "completed"
    assert [line["epoch"] for line in result["curve"]] == [1, 2, 3]
    return losses(result)


def test_a_trial_goes_on_from_another_one(job, whole, tmp_path):
    channel = Channel()
    result = jobs.train(job("first", epochs=1), channel)
    assert (result["status"], channel.steps) == ("paused", [(1, 3)])
    assert losses(result) == whole[:1]
    channel = Channel()
    result = jobs.train(job("second", source=str(tmp_path / "first")), channel)
    assert (result["status"], channel.steps) == ("completed", [(1, 3), (2, 3), (3, 3)])  # the first is told again
    assert losses(result) == whole
    # What it went on from is as it was.
    assert losses(jobs.train(job("first", epochs=1), Channel())) == whole[:1]


def test_a_trial_whose_source_was_pruned_is_trained_from_the_start(job, whole, tmp_path):
    jobs.train(job("first", epochs=1), Channel())
    (tmp_path / "first" / "run" / "checkpoint.npz").unlink()
    assert losses(jobs.train(job("second", source=str(tmp_path / "first")), Channel())) == whole


def test_a_stopped_trial_is_paused_and_can_be_made_a_run(job, whole):
    channel = Channel(goes_on=2)
    result = jobs.train(job("stopped"), channel)
    assert (result["status"], channel.steps) == ("paused", [(1, 3), (2, 3)])
    assert losses(result) == whole[:2]
    assert losses(jobs.train(job("stopped"), Channel())) == whole


def test_folds_are_told_as_means_of_those_that_are_done(job, tmp_path):
    channel = Channel()
    result = jobs.train(job("folded", folds=3, epochs=2, config={**CONFIG.as_dict(), "epochs": 2}), channel)
    assert result["status"] == "completed"
    assert channel.steps == [(1, 3), (2, 3), (3, 3)]
    ends = []
    for number in (1, 2, 3):
        lines = (tmp_path / "folded" / f"fold_{number}" / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == 2
        ends.append(jobs._floats(json.loads(lines[-1]), LOGGED))
    for step, event in enumerate(channel.told, start=1):
        for name, value in event["metrics"].items():
            assert value == pytest.approx(np.mean([end[name] for end in ends[:step]]), rel=1e-12)
    assert result["curve"][-1]["val_loss"] == pytest.approx(channel.told[-1]["metrics"]["val_loss"], rel=1e-12)
    assert [line["epoch"] for line in result["curve"]] == [1, 2]


def test_a_stop_between_folds_leaves_the_rest(job, tmp_path):
    result = jobs.train(job("folded", folds=3, epochs=1, config={**CONFIG.as_dict(), "epochs": 1}), Channel(goes_on=2))
    assert result["status"] == "paused"
    assert not (tmp_path / "folded" / "fold_3").exists()


def test_a_hopeless_trial_is_ended_with_code_and_evidence(job, tmp_path, monkeypatch, capsys):
    class Hopeless:
        findings = (Finding(code="class_collapse", evidence="one class", advice="look at it", confidence=0.9),)

    monkeypatch.setattr("kerastricks.callbacks.doctor.diagnose", lambda log: Hopeless)
    config = CONFIG.replace(epochs=6).as_dict()
    channel = Channel()
    with pytest.raises(TrainingDivergedError, match=r"^class_collapse: one class$"):
        jobs.train(job("hopeless", config=config, epochs=6, doctor=True), channel)
    assert channel.steps == [(1, 6), (2, 6), (3, 6)]
    assert "doctor at epoch 3 of 6: One class is predicted" in capsys.readouterr().out
    assert jobs.train(job("without", config=config, epochs=4), Channel())["status"] == "paused"


def test_a_loss_that_is_not_finite_is_told_as_a_finding(job):
    wild = CONFIG.replace(learning_rate=1e30, clip_norm=None, weight_decay=0.0).as_dict()
    with pytest.raises(TrainingDivergedError, match=r"^nan: the loss is NaN or infinite from step"):
        jobs.train(job("wild", config=wild, doctor=True), Channel())


def test_a_trial_reports_the_monitored_metric(job):
    channel, config = Channel(), {**CONFIG.as_dict(), "monitor": "val_macro_f1", "epochs": 1}
    result = jobs.train(job("monitored", config=config, folds=2, epochs=1), channel)
    assert channel.told[-1]["metrics"]["val_macro_f1"] == pytest.approx(result["curve"][-1]["val_macro_f1"])

"""A folder of `kerastricks tune` as members: its best runs, in the order of their scores."""

import dataclasses
import importlib
import json

import pytest
from made_runs import nearest_mean, summary_of, write_run

from kerastricks.cli import run as command
from kerastricks.search.trial_record import TrialRecord
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only
module = importlib.import_module("kerastricks.runs.ensemble_run")
SCORES = {"0000": 0.6, "0001": 0.9, "0002": None, "0003": 0.7, "0004": 0.8}


@pytest.fixture(autouse=True)
def timed_once(monkeypatch):
    """What a model costs has tests of its own: its rounds are half of an ensemble of networks as small as these."""
    monkeypatch.setattr("kerastricks.ensemble.cost._ROUNDS", 1)
    monkeypatch.setattr("kerastricks.ensemble.cost._ONCE_S", 0.0)


@pytest.fixture(scope="module")
def data():
    return load_data("digits", Config(data="digits", split_seed=0))


@pytest.fixture
def search(tmp_path, data, monkeypatch):
    """Trials and the runs of all but 0000, and of the best one trained again with the validation images."""

    def finish(run, model, images, config, progress, **reports):
        summary = summary_of(data=images.describe(), **reports)
        run.write(run.summary, summary.to_json())
        return summary

    monkeypatch.setattr(module, "finish", finish)  # the export has tests of its own and takes seconds
    folder = tmp_path / "search"
    (folder / "runs").mkdir(parents=True)
    (folder / "search.json").write_text("{}")
    lines = []
    for number, (trial, score) in enumerate(SCORES.items()):
        status = "failed" if score is None else "stopped" if trial == "0004" else "completed"
        record = TrialRecord(trial, status, score, "val_accuracy", "max", {}, None, [], 1.0)
        lines.append(json.dumps(dataclasses.asdict(record)) + "\n")
        if score is not None and trial != "0000":
            write_run(folder / "runs" / f"trial-{trial}", nearest_mean(data, number, noise=0.6), data)
    write_run(folder / "runs" / "refit-0001", nearest_mean(data, 0), data)
    (folder / "trials.jsonl").write_text("".join(lines))
    return folder


def members(search, *arguments):
    out = search.parent / "out"
    assert command(["ensemble", str(search), "--method", "mean", "--out", str(out), "--name", "e", *arguments]) == 0
    report = json.loads((out / "e" / "summary.json").read_text())["ensemble"]
    assert report["combined"]["test"]["log_loss"] < report["mean_member"]["test"]["log_loss"]
    return [member["name"] for member in report["members"]]


def test_the_best_come_first_and_completed_ones_before_stopped_ones(search):
    assert members(search, "--top", "2") == ["trial-0001", "trial-0003"]


def test_without_a_number_all_runs_that_were_kept(search):
    assert members(search) == ["trial-0001", "trial-0003", "trial-0004"]


@pytest.mark.parametrize(
    ("top", "message"),
    [
        # 0004, which has a run, does not stand in for 0000, which is better and has none.
        ("3", "the search kept 2 of its best 3: kerastricks tune --out "),
        ("5", "--top must be 4 or less, the search's trials with a score. Received: 5"),
    ],
)
def test_more_than_there_are_is_one_line(search, top, message, capsys):
    assert command(["ensemble", str(search), "--top", top]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert message in captured.err

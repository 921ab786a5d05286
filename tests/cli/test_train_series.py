"""kerastricks train --seeds, --snapshots, --swa: in one process, with the export left out."""

import importlib
import json
import shutil

import keras
import numpy as np
import pytest

from kerastricks.cli import run
from kerastricks.errors import Interrupted, UsageError

pytestmark = pytest.mark.tensorflow_only
# Modules that have the name of their function.
FINISH, TRAIN, LOAD = (
    importlib.import_module(f"kerastricks.{name}")
    for name in ("runs.finishing", "runs.training_run", "training.datasets")
)
QUICK = ["--model", "plain_cnn(widths=(4,))", "--epochs", "2", "--set", "precision=float32", "--set", "jit=False"]


@pytest.fixture(autouse=True)
def no_export(monkeypatch):
    monkeypatch.setattr(FINISH, "export_saved_model", lambda *given: given[2] / "1")


def train(*arguments):
    return run(["train", *arguments])


def weights(folder):
    return [np.array(weight) for weight in keras.models.load_model(folder / "model.keras").get_weights()]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def record(folder):
    return json.loads((folder / "config.json").read_text())


def test_a_series_is_what_its_runs_are_alone_with_the_images_read_once(tmp_path, monkeypatch, capsys):
    reads = []
    load = LOAD.load
    monkeypatch.setattr(LOAD, "load", lambda *given, **more: reads.append(given) or load(*given, **more))
    where = ["--out", str(tmp_path), *QUICK]
    assert train("digits", "--seeds", "2", "--seed", "3", "--name", "both", "--json", *where) == 0
    summary = json.loads(capsys.readouterr().out)
    assert len(reads) == 1
    folders = [tmp_path / "both-s3", tmp_path / "both-s4"]
    assert sorted(path for path in tmp_path.iterdir()) == folders
    for folder, seed in zip(folders, (3, 4), strict=True):
        found = record(folder)
        assert found["series"] == {"name": "both", "seeds": [3, 4]}
        assert (found["config"]["seed"], found["config"]["split_seed"]) == (seed, 3)
    assert train("digits", "--seed", "4", "--set", "split_seed=3", "--name", "alone", *where) == 0
    assert same(weights(tmp_path / "alone"), weights(folders[1]))
    assert not same(weights(folders[0]), weights(folders[1]))
    accuracies = [json.loads((folder / "summary.json").read_text())["accuracy"] for folder in folders]
    assert [row["accuracy"] for row in summary["runs"]] == accuracies
    assert summary["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert summary["standard_deviation"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))


@pytest.mark.slow  # tests/runs/test_jobs.py has it as a function
def test_an_interrupted_series_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    where = ["--out", str(tmp_path), *QUICK]
    fit, began = TRAIN.fit, []

    def stopped_in_the_second(*given, **more):
        began.append(given)
        if len(began) == 2:
            raise Interrupted(2)
        return fit(*given, **more)

    monkeypatch.setattr(TRAIN, "fit", stopped_in_the_second)
    assert train("digits", "--seeds", "3", "--name", "three", *where) == 130
    assert f"kerastricks train --resume {tmp_path / 'three'}\n" in capsys.readouterr().err.replace("\n\n", "\n")
    monkeypatch.setattr(TRAIN, "fit", fit)
    first = (tmp_path / "three-s0" / "summary.json").stat().st_mtime_ns
    assert not (tmp_path / "three-s2").exists()
    (tmp_path / "three-s2").mkdir()  # as a kill right after mkdir leaves it
    assert train("--resume", str(tmp_path / "three")) == 0
    assert "± standard deviation" in capsys.readouterr().out
    assert (tmp_path / "three-s0" / "summary.json").stat().st_mtime_ns == first  # finished ones are skipped
    shutil.rmtree(tmp_path / "three-s0")
    before = weights(tmp_path / "three-s2")
    assert train("--resume", str(tmp_path / "three")) == 0  # one that is missing is begun
    assert record(tmp_path / "three-s0")["config"]["seed"] == 0
    assert same(before, weights(tmp_path / "three-s2"))


def test_snapshots_and_swa_are_fields_of_the_configuration(tmp_path, capsys):
    assert train("digits", "--snapshots", "2", "--swa", "--name", "kept", "--out", str(tmp_path), *QUICK) == 0
    output = capsys.readouterr().out
    assert f"kerastricks ensemble {tmp_path / 'kept'}" in output
    assert "swa(start=0.75): validation accuracy" in output
    config = record(tmp_path / "kept")["config"]
    assert (config["schedule"], config["keep"]) == ("cosine_restarts(cycles=2)", "snapshots(2)")
    summary = json.loads((tmp_path / "kept" / "summary.json").read_text())
    assert [member["epoch"] for member in summary["members"]] == [1, 2]
    assert summary["average"]["epochs"] == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--snapshots", "3", "--schedule", "one_cycle"], "--snapshots means schedule="),
        (["digits", "--snapshots", "3", "--set", "keep=top(2)"], "--snapshots means keep="),
        (["digits", "--swa", "--set", "average=ema"], "--swa means average="),
        (["digits", "--seeds", "1"], "--seeds"),
        (["--resume", "somewhere", "--seeds", "3"], "--seeds and --resume exclude each other"),
    ],
)
def test_what_excludes_each_other_is_refused(arguments, message, tmp_path, capsys):
    assert train(*arguments, "--out", str(tmp_path)) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_series_overwrites_nothing_and_is_resumed_as_it_began(tmp_path, capsys):
    (tmp_path / "taken-s1").mkdir()
    (tmp_path / "taken-s1" / "notes.txt").write_text("mine")  # an empty folder is taken over
    assert train("digits", "--seeds", "2", "--name", "taken", "--out", str(tmp_path), *QUICK) == 2
    assert "taken-s1 exists already and nothing is overwritten" in capsys.readouterr().err
    folder = tmp_path / "begun-s0"
    folder.mkdir()
    config = {"data": "digits", "seed": 0, "split_seed": 0}
    (folder / "config.json").write_text(json.dumps({"config": config, "series": {"name": "begun", "seeds": [0, 1]}}))
    assert train("--resume", str(tmp_path / "begun"), "--epochs", "3") == 2
    assert "a series is resumed as it began: without epochs" in capsys.readouterr().err
    assert train("--resume", str(tmp_path / "nothing")) == 2
    assert "no run folder" in capsys.readouterr().err


@pytest.mark.parametrize(("module", "job"), [("training_run", "train"), ("series", "train_series")])
def test_the_doctor_is_asked_for(tmp_path, monkeypatch, capsys, module, job):
    asked = []

    def stopped(**given):
        asked.append(given["doctor"])
        raise UsageError("seen")

    monkeypatch.setattr(f"kerastricks.runs.{module}.{job}", stopped)
    seeds = ["--seeds", "2"] if job == "train_series" else []
    for options in ([], ["--doctor"]):
        assert train("digits", "--out", str(tmp_path), *seeds, *options) == 2
    assert asked == [False, True]

"""Jobs from Python: the folders of the commands, resumed where they were interrupted, as typed records."""

import dataclasses
import importlib
import json
import signal
import threading

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks import cli
from kerastricks.errors import (
    ConfigError,
    Interrupted,
    RunFolderError,
    TrainingDivergedError,
    UnknownNameError,
    UsageError,
)
from kerastricks.runs import Evaluation, RunFolder, RunRecord, Summary
from kerastricks.runs.configuration import ConfigFields, FinetuningFields, SearchFields
from kerastricks.runs.resumable import sigterm_interrupts
from kerastricks.training import Config

pytestmark = pytest.mark.tensorflow_only
TRAIN, FINISH = (importlib.import_module(f"kerastricks.runs.{name}") for name in ("training_run", "finishing"))
FIELDS = {"model": "plain_cnn(widths=(4,))", "epochs": 2, "precision": "float32", "jit": False, "average": "swa"}
OPTIONS = [word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")]
CHANGING = ("seconds", "training_seconds", "versions", "images_per_second")


@pytest.fixture(autouse=True, scope="module")
def no_export():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FINISH, "export_saved_model", lambda *given: given[2] / "1")
        yield


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """What the command leaves."""
    out = tmp_path_factory.mktemp("command")
    assert cli.run(["train", "digits", *OPTIONS, "--out", str(out), "--name", "run"]) == 0
    return RunRecord.open(out / "run")


class StopAfterFirst(keras.callbacks.Callback):
    """Ctrl-C at the end of the first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            signal.raise_signal(signal.SIGINT)


def steady(record):
    """Without what no two runs have in common."""
    if isinstance(record, dict):
        return {name: steady(value) for name, value in record.items() if name not in CHANGING}
    return [steady(value) for value in record] if isinstance(record, list) else record


def weights(record):
    return [np.array(weight) for weight in record.load_model().get_weights()]


def test_an_interrupted_training_resumed_is_that_of_the_command(command, tmp_path, monkeypatch):
    said, handlers = [], [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    fit = TRAIN.fit
    monkeypatch.setattr(TRAIN, "fit", lambda *given, **more: fit(*given, **more, callbacks=[StopAfterFirst()]))
    with pytest.raises(Interrupted, match=r"kerastricks\.runs\.train\(resume='.*run'\) resumes it"):
        kerastricks.runs.train("digits", out=tmp_path, name="run", say=said.append, **FIELDS)
    assert said[-1] == f"interrupted; resume with: kerastricks train --resume {tmp_path / 'run'}"
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    with pytest.raises(ConfigError, match="epochs: 2 in the run, 3 asked for"):
        kerastricks.runs.train(resume=tmp_path / "run", epochs=3)
    record = kerastricks.runs.train(resume=tmp_path / "run", say=said.append, epochs=2)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers

    assert {path.name for path in record.path.iterdir()} == {path.name for path in command.path.iterdir()}
    assert record.config == command.config
    assert steady(record.summary.to_json()) == steady(command.summary.to_json())
    assert all(np.array_equal(a, b) for a, b in zip(weights(record), weights(command), strict=True))
    again = kerastricks.runs.train(resume=record.path, say=said.append)
    assert again == record
    assert said[-1] == f"{record.path}: finished already"


def test_a_doctor_changes_nothing_and_ends_what_diverges(command, tmp_path):
    said = []
    record = kerastricks.runs.train("digits", out=tmp_path, name="run", say=said.append, doctor=True, **FIELDS)
    assert any(line.startswith("doctor at the end: ") for line in said)
    assert record.config == command.config
    assert all(np.array_equal(a, b) for a, b in zip(weights(record), weights(command), strict=True))
    wild = {**FIELDS, "learning_rate": 1e30, "clip_norm": None, "weight_decay": 0.0}
    with pytest.raises(TrainingDivergedError, match=r"^The loss is not a number \(nan\): .*; next: "):
        kerastricks.runs.train("digits", out=tmp_path, name="wild", say=said.append, doctor=True, **wild)
    assert said[-1] == "  the training is stopped"
    assert sorted(path.name for path in (tmp_path / "wild").iterdir()) == [
        "batch_loss.f32", "config.json", "recipe.py", "skipped.jsonl",
    ]  # fmt: skip


def test_a_summary_is_the_json_of_the_folder(command):
    text = (command.path / "summary.json").read_text()
    summary = Summary.from_json(json.loads(text))
    assert json.dumps(summary.to_json(), indent=2) + "\n" == text
    assert summary.accuracy == command.summary.accuracy
    assert summary.matrix().sum() == summary.images
    newer = {**json.loads(text), "energy": 3}
    assert Summary.from_json(newer).to_json() == newer
    with pytest.raises(RunFolderError, match="is no summary: model, device missing"):
        Summary.from_json({name: value for name, value in newer.items() if name not in ("model", "device")})


def test_evaluation_of_a_run_is_its_summary(command):
    for run in (command, command.path, str(command.path), command.folder):
        found = kerastricks.runs.evaluate(run, "digits")
        assert found.accuracy == command.summary.accuracy
    assert list(found.to_json())[:4] == ["data", "split", "skipped", "classes_left_out"]
    assert Evaluation.from_json(found.to_json()) == found


def test_a_series_interrupted_and_resumed(tmp_path, monkeypatch):
    series = importlib.import_module("kerastricks.runs.series")
    run_training, said = series.run_training, []
    short = {**FIELDS, "epochs": 1, "average": ""}

    def stopped(run, *given, **more):
        if run.name.endswith("s1"):
            raise KeyboardInterrupt
        return run_training(run, *given, **more)

    monkeypatch.setattr(series, "run_training", stopped)
    with pytest.raises(Interrupted, match=r"runs\.train_series\(resume='.*two'\)"):
        kerastricks.runs.train_series("digits", seeds=2, out=tmp_path, name="two", say=said.append, **short)
    assert said[-1] == f"interrupted; resume with: kerastricks train --resume {tmp_path / 'two'}"
    monkeypatch.setattr(series, "run_training", run_training)
    found = kerastricks.runs.train_series(resume=tmp_path / "two", say=said.append)
    assert [run.config.seed for run in found.runs] == [0, 1]
    assert [run.path for run in found.runs] == [tmp_path / "two-s0", tmp_path / "two-s1"]
    scores = [run.summary.accuracy for run in found.runs]
    assert found.mean["accuracy"] == pytest.approx(np.mean(scores))
    assert found.to_json()["standard_deviation"]["accuracy"] == pytest.approx(np.std(scores, ddof=1))
    with pytest.raises(ConfigError, match="resumed as it began: without epochs"):
        kerastricks.runs.train_series(resume=tmp_path / "two", epochs=3)


def test_keyword_fields_are_those_of_the_configuration():
    names = {field.name for field in dataclasses.fields(Config)}
    assert set(ConfigFields.__annotations__) == names
    assert set(FinetuningFields.__annotations__) == names - {"model", "minutes"}
    assert set(SearchFields.__annotations__) == names - {"epochs", "minutes"}
    for name, kind in ConfigFields.__annotations__.items():
        assert kind == Config.__annotations__[name], name


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ConfigError, "data is missing"),
        (
            {"source": "digits", "config": Config(data="mnist")},
            ConfigError,
            "source and config.data exclude each other",
        ),
        ({"source": "digits", "resume": "run"}, UsageError, "source and config exclude resume"),
        ({"source": "digits", "learning_rat": 1.0}, UnknownNameError, "did you mean learning_rate"),
        ({"source": "digits", "model": "resnet_21"}, UnknownNameError, "resnet_20"),
        ({"source": "digts"}, UnknownNameError, "did you mean digits"),
        ({"source": np.zeros((3, 8, 8, 1))}, UsageError, "source must be a path, a name or a recipe"),
        ({"resume": "nothing"}, RunFolderError, "no run folder"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        kerastricks.runs.train(**arguments)
    assert not list(tmp_path.iterdir())


def test_a_run_in_the_old_spelling_is_refused_with_the_new_one(command):
    with pytest.raises(UsageError, match=r"resumed by resume=PATH. Received: RunFolder"):
        kerastricks.runs.train(RunFolder(command.path))


@pytest.mark.parametrize(
    ("job", "arguments", "message"),
    [
        ("train_series", {"source": "digits"}, "seeds must be 2 to 1,000. Received: seeds=None"),
        ("train_series", {"resume": "nothing"}, "no series"),
        ("finetune", {}, "data is missing"),
        ("finetune", {"source": "digits", "strategy": "al"}, "did you mean all"),
        ("finetune", {"resume": "run", "epochs": 3}, "resume goes without source and settings"),
        ("distill", {}, "teacher is missing"),
        ("distill", {"teacher": "nothing"}, "no such run folder"),
        ("distill", {"resume": "run", "temperature": 3.0}, "resume goes without teacher and settings"),
        ("ensemble", {"runs": ["a", "b"], "method": "meen"}, "did you mean mean"),
        ("ensemble", {"runs": ["a", "b"], "late": True}, "for method='fuse'"),
        ("ensemble", {"runs": ["a", "b"]}, "a: no such run folder"),
        ("predict", {"run": "nothing", "images": "a.jpg"}, "nothing: no such run folder"),
    ],
)
def test_other_jobs_refuse_before_anything_slow(tmp_path, monkeypatch, job, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        getattr(kerastricks.runs, job)(**arguments)
    assert not list(tmp_path.iterdir())


def test_signals_are_left_alone_outside_of_the_main_thread():
    before, found = signal.getsignal(signal.SIGTERM), []

    def work():
        with sigterm_interrupts():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
    with pytest.raises(Interrupted), sigterm_interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before

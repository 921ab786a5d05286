"""`kerastricks tune` and `tune-worker`: mistakes are one line, and a whole search ends as run folders."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest

from kerastricks import cli

pytestmark = pytest.mark.tensorflow_only
SPACE = """
[learning_rate]
values = [0.1, 1e12]
default = 0.1

["model.width"]
values = [8, 16]
"""


def refused(capsys, *arguments):
    """The one line of a mistake; the exit code is 2."""
    assert cli.run(["tune", *map(str, arguments)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--objective", "val_acuracy"], "did you mean val_accuracy"),
        (["digits", "--oracle", "bayes"], "did you mean bayesian"),
        (["digits", "--trials", "0"], "'--trials': must be 1 to 9,999"),
        (["digits", "--folds", "1"], "folds must be 2 or more, or 0"),
        (["digits", "--set", "learning_rat=1"], "did you mean learning_rate"),
        (["digits", "--set", "epochs=3"], "a search has --epochs"),
        (["digits", "--model", "resnet_21"], "resnet_20"),
        (["no/such/folder"], "no such file or folder"),
        ([], "SOURCE is missing"),
        (["--resume"], "name the search with --out"),
        (["digits", "--host", "256.1.1.1", "--port", "80"], "--host 256.1.1.1"),
    ],
)
def test_mistyped_argument(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("[learning_rat]\nmin = 0.1\nmax = 1.0", "did you mean learning_rate"),
        ("[learning_rate]\nmin = 1.0\nmax = 0.1", "learning_rate"),
        ("[batch_size]\nvalues = []", "batch_size"),
        ("[learning_rate", "is not TOML"),
        ('[optimizer]\nvalues = ["sgd", "sdg"]', "optimizer"),
    ],
)
def test_space_file_that_is_wrong_names_file_and_table(tmp_path, capsys, space, message):
    path = tmp_path / "space.toml"
    path.write_text(space)
    line = refused(capsys, "digits", "--space", path, "--out", tmp_path / "search")
    assert "space.toml" in line
    assert message in line
    assert not (tmp_path / "search").exists()


def test_port_in_use(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(capsys, "digits", "--workers", "2", "--port", port, "--out", tmp_path / "search")
    assert str(port) in line
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["somewhere", "--chief", "10.0.0.5"], "--chief must be HOST:PORT"),
        (["somewhere", "--chief", "10.0.0.5:8000", "--name", "chief-2"], "--name must be"),
    ],
)
def test_worker_with_a_wrong_address_or_name(capsys, arguments, message):
    assert cli.run(["tune-worker", *arguments]) == 2
    assert message in capsys.readouterr().err


def tune(*arguments, interrupt_at=None):
    """As a process of its own: exit code, output, standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kerastricks", "tune", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=Path(__file__).parents[2],
    )
    while interrupt_at is not None and not interrupt_at.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    if interrupt_at is not None:
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=400)
    return process.returncode, output, errors


@pytest.mark.slow
def test_whole_search_interrupted_and_resumed(tmp_path):
    out, space = tmp_path / "search", tmp_path / "space.toml"
    space.write_text(SPACE)
    start = ["digits", "--model", "mlp(depth=1, width=8)", "--space", space, "--oracle", "grid", "--epochs", "1"]
    start += ["--trials", "4", "--top", "1", "--refit", "--out", out]
    code, _, errors = tune(*start, interrupt_at=out / "trial_0001" / "trial.json")
    assert code == 130
    assert f"--resume --out {out}" in errors

    code, _, errors = tune("digits", "--out", out)
    assert code == 2
    assert "not empty" in errors
    code, _, errors = tune("--resume", "--out", out, "--seed", "3", "--objective", "val_loss")
    assert code == 2
    assert "seed: 0 there, 3 now" in errors
    assert "objective: 'val_accuracy' there, 'val_loss' now" in errors

    code, output, errors = tune("--resume", "--out", out, "--json")
    assert code == 0, errors
    record = json.loads(output)
    assert record["trials"] == {"completed": 2, "stopped": 0, "failed": 2}
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    assert [trial["trial"] for trial in trials] == ["0000", "0001", "0002", "0003"]
    assert len({json.dumps(trial["values"]) for trial in trials}) == 4
    failed = [trial for trial in trials if trial["status"] == "failed"]
    assert {trial["values"]["learning_rate"] for trial in failed} == {1e12}
    assert all("loss is" in trial["reason"] and trial["score"] is None for trial in failed)
    assert (out / "search.html").exists()
    assert not (out / "pixels").exists()
    best = out / record["best"][0]["run"]
    assert keras.models.load_model(best / "model.keras").output_shape == (None, 10)
    summary = json.loads((best / "summary.json").read_text())
    refit = json.loads(next(out.glob("runs/refit-*/summary.json")).read_text())
    assert (
        refit["data"]["images"]["train"] == summary["data"]["images"]["train"] + summary["data"]["images"]["validation"]
    )


@pytest.mark.slow
def test_cross_validation(tmp_path):
    out, space = tmp_path / "search", tmp_path / "space.toml"
    space.write_text(SPACE.replace("values = [0.1, 1e12]\ndefault = 0.1", "values = [0.1, 0.2]"))
    start = ["digits", "--model", "mlp(depth=1, width=8)", "--space", space, "--epochs", "1", "--trials", "2"]
    code, _, errors = tune(*start, "--folds", "2", "--out", out)
    assert code == 0, errors
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    for trial in trials:
        folds = [out / f"trial_{trial['trial']}" / f"fold_{number}" / "metrics.jsonl" for number in (1, 2)]
        scores = [json.loads(fold.read_text().splitlines()[-1])["val_accuracy"] for fold in folds]
        assert trial["score"] == pytest.approx(sum(scores) / 2)
    code, _, errors = tune(*start, "--folds", "500", "--out", tmp_path / "other")
    assert code == 2
    assert "folds" in errors
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_model_that_diverges_at_every_rate(tmp_path):
    recipe = tmp_path / "broken.py"
    recipe.write_text(
        "import keras\n"
        'CONFIG = {"data": "digits"}\n'
        "def create_model(data, config):\n"
        "    inputs = keras.Input(data.image_shape)\n"
        "    x = keras.layers.Flatten()(inputs)\n"
        "    x = keras.layers.Dense(10)(x) * 1e30\n"
        "    return keras.Model(inputs, keras.layers.Softmax()(x * x * x))\n"
    )
    code, _, errors = tune(recipe, "--trials", "2", "--epochs", "1", "--out", tmp_path / "search")
    assert code == 2, errors
    assert "cannot be trained at any rate" in errors
    assert not (tmp_path / "search").exists()

"""kerastricks compare, as a user drives it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only

QUICK = ("digits", "--model", "mlp(depth=1, width=16)", "--epochs", "1", "--set", "precision=float32")


def test_it_prints_a_table_and_leaves_a_folder(tmp_path, capsys):
    arguments = ["compare", "activations", *QUICK, "--arms", "relu | tanh", "--seeds", "2", "--limit", "500"]
    assert run([*arguments, "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "activations on mlp(depth=1, width=16), digits: 2 seeds, 500 training images, 1 epoch in" in captured.out
    assert "difference to relu" in captured.out
    assert "run 4 of 4: tanh, seed 1" in captured.err
    assert "ETA" in captured.err
    folder = tmp_path / "compare-activations-mlp-digits-1"
    assert {path.name for path in folder.iterdir()} == {
        "comparison.json", "comparison.png", "plan.json", "runs.jsonl",
    }  # fmt: skip
    table = captured.out

    assert run(["compare", "--resume", str(folder)]) == 0
    captured = capsys.readouterr()
    assert captured.out == table
    assert "run " not in captured.err

    assert run(["compare", "--resume", str(folder), "--seeds", "3", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["seeds"] == [0, 1, 2]
    assert captured.err.count("run ") == 2

    for change, message in (
        (["--set", "learning_rate=0.5"], "config.learning_rate: 0.05 in the folder, 0.5 asked for"),
        (["--arms", "relu | elu"], "arms: ['relu', 'tanh'] in the folder"),
        (["--seeds", "1"], "seeds: [0, 1, 2] in the folder, [0] asked for"),
    ):
        assert run(["compare", "--resume", str(folder), *change]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "KIND is missing: activations, initializers or regularizers"),
        (["activation", "digits"], "no comparison is called 'activation': did you mean activations?"),
        (["activations"], "DATA is missing"),
        (["activations", "digitz"], "did you mean digits?"),
        (["activations", "digits", "--arms", "relu"], "arms must be two or more"),
        (["activations", "digits", "--arms", "relu | relu()"], "arms must differ. Received relu 2 times"),
        (["activations", "digits", "--arms", "relu | (3)"], "expected name or name(...)"),
        (["activations", "digits", "--arms", "relu | reluu"], "reluu"),
        (["initializers", "digits", "--arms", "zeros | he_norm"], "he_norm"),
        (["regularizers", "digits", "--arms", "none | l3(1)"], "l3"),
        (["activations", "digits", "--seeds", "0"], "must be 1 to 1,000. Received: 0"),
        (["activations", "digits", "--seeds", "-3"], "must be 1 to 1,000. Received: -3"),
        (["activations", "digits", "--model", "nni"], "no model is called 'nni'"),
        (["activations", "digits", "--model", "nin(activation='elu')"], "model must leave activation open"),
        (["activations", "digits", "--set", "model=mlp"], "chosen by --model"),
        (["activations", "digits", "--set", "data=mnist"], "chosen by DATA"),
        (["activations", "digits", "--set", "epochs=0"], "epochs must be 1 to 1,000,000"),
        (["activations", "digits", "--limit", "0"], "must be 1 to 2,147,483,647. Received: 0"),
        (["activations", "digits", "--name", "a/b"], "plain name"),
        (["activations", "digits", "--resume", "x"], "exclude each other"),
        (["--resume", "nowhere"], "no comparison (no plan.json inside)"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["compare", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in "".join(lines)
    assert not list(tmp_path.glob("saved_models/*")), "a mistake leaves nothing behind"


@pytest.mark.slow
def test_an_interrupted_process_can_be_resumed(tmp_path):
    arguments = ["compare", "activations", *QUICK, "--arms", "relu | tanh", "--seeds", "200", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "kerastricks", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    runs = tmp_path / "compare-activations-mlp-digits-1" / "runs.jsonl"
    deadline = time.monotonic() + 120
    while not (runs.exists() and runs.read_text().count("\n") >= 2):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"kerastricks compare --resume {runs.parent}" in errors
    assert "Traceback" not in errors
    kept = [json.loads(line) for line in runs.read_text().splitlines()]
    assert len(kept) >= 2
    assert [(line["arm"], line["seed"]) for line in kept[:2]] == [("relu", 0), ("tanh", 0)]

"""The command as a real process: killed at any moment, interrupted, resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from kerastricks.training import checkpoint

pytestmark = pytest.mark.tensorflow_only

# A checkpoint after every batch, so that a kill lands in the middle of an epoch.
EAGER = """
import sys
from kerastricks.cli import main
from kerastricks.cli.quiet import import_keras
import_keras()
import kerastricks.training.resumable as resumable
resumable.SECONDS_BETWEEN_CHECKPOINTS = 0.0
resumable._SHARE_OF_TIME = 0
import kerastricks.runs.finishing as finishing
finishing.verify_export = lambda *given: None  # in a process of its own, with tests of its own
main(sys.argv[1:])
"""
TRAIN = (
    "train",
    "digits",
    "--epochs",
    "3",
    "--model",
    "plain_cnn(widths=(8,), dropout=0.2)",
    "--set",
    "precision=float32",
)


def start(*arguments):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, "-c", EAGER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def wait_for_step(process, run, step):
    path = run / checkpoint.FILE_NAME
    for _ in range(1200):
        if path.exists() and checkpoint.read_position(path).step >= step:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("no checkpoint in a minute")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    process = start(*TRAIN, "--out", str(out), "--name", "whole")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "epoch 3/3" in errors
    assert "WARNING" not in errors
    assert "tensorflow" not in errors.replace("(tensorflow)", "")
    return out / "whole"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, 143),
    ],
)
@pytest.mark.slow  # tests/runs/test_jobs.py interrupts and resumes in this process
def test_killed_and_resumed_ends_in_equal_weights(first, code, undisturbed, tmp_path):
    run = tmp_path / "broken"
    process = start(*TRAIN, "--out", str(tmp_path), "--name", "broken")
    wait_for_step(process, run, 5)
    process.send_signal(first)
    _, errors = process.communicate()
    assert process.returncode == code, errors
    if first != signal.SIGKILL:
        assert f"resume with: kerastricks train --resume {run}" in errors
    assert not (run / "summary.json").exists()

    process = start("train", "--resume", str(run), "--json")
    output, errors = process.communicate()
    assert process.returncode == 0, errors

    whole, resumed = (keras.models.load_model(path / "model.keras").get_weights() for path in (undisturbed, run))
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    for name in ("batch_loss.f32", "skipped.jsonl"):
        assert (run / name).read_bytes() == (undisturbed / name).read_bytes()
    expected = json.loads((undisturbed / "summary.json").read_text())
    assert json.loads(output)["log_loss"] == expected["log_loss"]
    assert not list(run.glob(".tmp-*"))
    assert not (run / checkpoint.FILE_NAME).exists()

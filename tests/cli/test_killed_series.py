"""A series that is killed in its second run: resumed, it ends in the weights of one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.slow]
SETTINGS = {"precision": "float32", "jit": "False", "keep": "top(2)", "learning_rate": "0.05"}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "kerastricks", "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=Path(__file__).parents[2],
    )


def begin(folder):
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    how = ["--model", "plain_cnn(widths=(16, 16))", "--epochs", "6", "--seeds", "2", *settings]
    return start("digits", *how, "--out", str(folder), "--name", "two")


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(begin(folder))
    return folder


def weights(path):
    return keras.models.load_model(path).get_weights()


def members(folder, seed):
    return json.loads((folder / f"two-s{seed}" / "members" / "members.json").read_text())


def files(folder):
    """All that is there, with hidden names, but for what TensorFlow or the export names by itself."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if "/variables." not in name}


@pytest.mark.parametrize("moment", ["two-s1/metrics.jsonl", "two-s1/members/*.keras", "two-s1/members/.*"])
def test_a_killed_series_ends_as_if_it_had_not_been(moment, undisturbed, tmp_path):
    process = begin(tmp_path)
    until = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.glob(moment) if path.exists()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, f"{moment} is not there"
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "two-s0" / "summary.json").is_file()
    assert not (tmp_path / "two-s1" / "summary.json").exists()  # it was killed in time
    first = (tmp_path / "two-s0" / "model.keras").stat().st_mtime_ns
    finish(start("--resume", str(tmp_path / "two")))
    assert (tmp_path / "two-s0" / "model.keras").stat().st_mtime_ns == first
    assert files(tmp_path) == files(undisturbed)
    for seed in (0, 1):
        assert members(tmp_path, seed) == members(undisturbed, seed)
        names = ["model.keras", *(f"members/{one['file']}" for one in members(tmp_path, seed)["members"])]
        for name in names:
            pairs = zip(*(weights(one / f"two-s{seed}" / name) for one in (undisturbed, tmp_path)), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs), name

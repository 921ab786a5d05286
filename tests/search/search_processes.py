"""Searches as processes of their own, which can be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from kerastricks.search.trial_record import read_records

SPACE = """
[learning_rate]
min = 0.001
max = 0.3
sampling = "log"

[batch_size]
values = [64, 128]

["model.width"]
values = [8, 16]
"""


class Search:
    """`kerastricks tune` on the digits, small."""

    def __init__(self, folder, *arguments, oracle="random", trials=3, epochs=2):
        self.folder = Path(folder)
        space = self.folder.with_suffix(".toml")
        space.write_text(SPACE)
        self.arguments = ["digits", "--model", "mlp(width=8)", "--space", str(space), "--oracle", oracle]
        self.arguments += ["--trials", str(trials), "--epochs", str(epochs), "--top", "0", *arguments]

    def start(self, *more, resume=False, **environment):
        """Starts it and does not wait."""
        arguments = ["--resume"] if resume else self.arguments
        return subprocess.Popen(
            [sys.executable, "-m", "kerastricks", "tune", *arguments, "--out", str(self.folder), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            cwd=Path(__file__).parents[2],
        )

    def run(self, *more, resume=False, **environment):
        """To its end; its standard error."""
        process = self.start(*more, resume=resume, **environment)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return errors

    def wait_for(self, *names, process, after=0.0):
        """Until these are in the folder."""
        until = time.monotonic() + 120
        while not all(list(self.folder.glob(name)) for name in names):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until, f"{names} are not there"
            time.sleep(0.02)
        time.sleep(after)

    @property
    def records(self):
        return read_records(self.folder / "trials.jsonl")

    @property
    def outcomes(self):
        """What must not depend on who was killed: trial by trial."""
        return [(one.trial, one.status, one.values, one.score) for one in self.records]


def processes_of(parent, module):
    """Descendants that run a module, or a command of the command line."""
    found = []
    for one in psutil.Process(parent.pid).children(recursive=True):
        try:
            if any(module in word for word in one.cmdline()):
                found.append(one)
        except psutil.Error:
            continue
    return found


def kill(process):
    """As the system does where memory runs out."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def reports(folder):
    """What trials have left, by name."""
    return {path.parent.name: json.loads(path.read_text()) for path in Path(folder).glob("trial_*/report.json")}

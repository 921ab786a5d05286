"""Supervision of a chief and its workers on this machine: a process that dies is restarted."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kerastricks.errors import SearchError
from kerastricks.files import try_read_json
from kerastricks.search.folder import SearchFolder
from kerastricks.search.trial_record import read_records
from kerastricks.search.view import SearchView

_POLL_SECONDS = 0.3
_STOP_SECONDS = 90
_QUICK_SECONDS = 20.0  # a process that dies earlier did no work
_QUICK_DEATHS = 3


class Supervised:
    """A process that is restarted when it dies; it ends when this one does.

    Args:
        name: for messages and its log.
        command: of the process.
        environment: of the process.
        log: where its standard error goes.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._quick_deaths = 0
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(self._environment),
                start_new_session=True,
            )

    def has_ended(self, say: Callable[[str], None]) -> bool:
        """Whether it ended with success; after a failure it is restarted.

        Raises:
            SearchError: when it dies repeatedly before it does any work.
        """
        code = self.process.poll()
        if code is None:
            return False
        if code == 0:
            return True
        quick = time.monotonic() - self._started < _QUICK_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        if self._quick_deaths >= _QUICK_DEATHS:
            raise SearchError(f"{self.name} ended {_QUICK_DEATHS} times as soon as it was started: see {self._log}")
        say(f"{self.name} died (code {code}): it is started again under its name")
        self._start()
        return False

    def stop(self) -> None:
        """Asks the process to save its state and end."""
        if self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        """Waits until the process has exited; kills one that hangs."""
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def supervise(
    folder: SearchFolder,
    host: str,
    port: int,
    gpus: Sequence[str | None],
    view: SearchView,
    say: Callable[[str], None],
    environment: Mapping[str, str],
) -> None:
    """Runs a search to its end, with a chief and a worker for each of `gpus`.

    Args:
        folder: of the search.
        host: that the chief listens on.
        port: of the chief.
        gpus: for each worker the GPU that it may see; None for all.
        view: where trials are shown.
        say: receives a line about each process that died.
        environment: of the workers; the chief sees no GPU.

    Raises:
        SearchError: when a process dies repeatedly.
    """
    folder.workers.mkdir(exist_ok=True)
    python = [sys.executable, "-m"]
    chief = Supervised(
        "the chief",
        [*python, "kerastricks.search.oracle.chief", str(folder.path), host, str(port)],
        {**environment, "CUDA_VISIBLE_DEVICES": "-1"},
        folder.workers / "chief.log",
    )
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    workers = [
        Supervised(
            f"worker-{number}",
            [
                *(*python, "kerastricks", "tune-worker", str(folder.path)),
                *("--name", f"worker-{number}", "--chief", f"{reachable}:{port}"),
            ],
            {
                **environment,
                "KERASTRICKS_PARENT": str(os.getpid()),
                **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}),
            },
            folder.workers / f"worker-{number}.log",
        )
        for number, gpu in enumerate(gpus)
    ]
    shown = _Shown(folder, view)
    try:
        while not chief.has_ended(say):
            for worker in workers:
                if not folder.finished.exists():
                    worker.has_ended(say)
            shown.refresh()
            time.sleep(_POLL_SECONDS)
    except BaseException:
        for one in (*workers, chief):
            one.stop()
        raise
    finally:
        for one in (*workers, chief):
            one.wait()
        shown.refresh()


class _Shown:
    """Updates the view from the files of the processes."""

    def __init__(self, folder: SearchFolder, view: SearchView) -> None:
        self._folder = folder
        self._view = view
        self._ended = {record.trial for record in read_records(folder.trials)}
        self._begun: set[str] = set()
        self._epochs: dict[str, int] = {}

    def refresh(self) -> None:
        for path in sorted(self._folder.workers.glob("[!.]*.json")):
            with contextlib.suppress(OSError):
                self._running(try_read_json(path) or {})
        for record in read_records(self._folder.trials):
            if record.trial not in self._ended:
                self._ended.add(record.trial)
                if record.trial not in self._begun:
                    self._view.begin(record.trial, record.values)
                self._view.end(record)
        self._view.tick()

    def _running(self, state: dict) -> None:
        trial = state.get("trial")
        if trial is None or trial in self._ended:
            return
        if trial not in self._begun:
            self._begun.add(trial)
            self._view.begin(trial, state["values"])
        if state["epoch"] != self._epochs.get(trial, 0):
            self._epochs[trial] = state["epoch"]
            self._view.epoch(trial, state["epoch"], state["epochs"], state["metrics"])

"""A worker: takes trials from a chief and runs them, with a heartbeat in the folder of the search."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from kerastricks.files import write_json
from kerastricks.search.folder import SearchFolder
from kerastricks.search.oracle.engine import Client
from kerastricks.search.trials.processes import Processes
from kerastricks.search.trials.runner import TrialRunner

BEAT_SECONDS = 1.0


class Heartbeat:
    """Writes workers/NAME.json: a counter that rises while the worker lives, and the progress of its trial.

    The beat is a count, which the chief times, because clocks of machines differ.

    Args:
        folder: of all workers.
        name: of this one.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self._path = folder / f"{name}.json"
        self._record: dict[str, Any] = {"beat": 0, "pid": os.getpid()}
        self._lock = threading.Lock()
        threading.Thread(target=self._beat, daemon=True).start()

    def say(self, **fields: Any) -> None:
        """Sets fields of its record."""
        with self._lock:
            self._record |= fields
            self._write()

    def _beat(self) -> None:
        while True:
            with self._lock:
                self._record["beat"] += 1
                self._write()
            time.sleep(BEAT_SECONDS)

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: the trial itself reports it
            write_json(self._path, self._record, indent=None)


def work(folder: SearchFolder, name: str, host: str, port: int, processes: Processes) -> None:
    """Runs trials until the chief has none left, or the search has ended.

    Args:
        folder: of the search, on a file system that the chief shares.
        name: of the worker; one that is restarted under its name resumes its trial.
        host: of the chief.
        port: of the chief.
        processes: where trials run.

    Raises:
        SearchError: where no chief answers.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the trial has saved its state.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = folder.read_plan()
    heart = Heartbeat(folder.workers, name)
    processes.warm()
    client = Client(plan, folder, name, host, port)

    def begin(trial: str, values: dict[str, Any]) -> None:
        heart.say(trial=trial, values=values, epoch=0, epochs=plan.epochs, metrics={})

    def epoch(trial: str, number: int, epochs: int, metrics: dict[str, float]) -> None:
        heart.say(epoch=number, epochs=epochs, metrics=metrics)

    runner = TrialRunner(client, plan, folder, name, processes, begin, epoch, lambda trial: heart.say(trial=None))
    try:
        runner.run()
    finally:
        processes.close()

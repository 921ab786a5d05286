"""The process that hands out trials: keras-tuner's chief.

Run as `python -m kerastricks.search.oracle.chief FOLDER HOST PORT`.
"""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kerastricks.files import try_read_json
from kerastricks.search.folder import SearchFolder, write_json
from kerastricks.search.oracle.engine import quiet, serve
from kerastricks.search.publish import Publisher
from kerastricks.search.trials.processes import end_with_parent

LEASE_SECONDS = 30.0
_FAREWELL_SECONDS = 2.0  # for the last answers to arrive


class Leases:
    """Leases of workers: a silent worker's trial is given to another.

    keras-tuner waits for ever for a worker of the same name.

    Args:
        folder: of the search.
        seconds: for which a worker may be silent.
    """

    def __init__(self, folder: SearchFolder, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._heard: dict[str, tuple[int, float]] = {}

    def expired(self, workers: list[str], now: float) -> list[str]:
        """Finds the workers that have been silent for too long.

        Args:
            workers: names.
            now: a monotonic clock, in seconds.
        """
        silent = []
        self._heard = {name: heard for name, heard in self._heard.items() if name in workers}
        for name in workers:
            beat = (try_read_json(self._folder.workers / f"{name}.json") or {}).get("beat", -1)
            known = self._heard.get(name)
            if known is None or known[0] != beat:
                self._heard[name] = (beat, now)
            elif now - known[1] > self._seconds:
                silent.append(name)
                del self._heard[name]
        return silent


def main(folder: SearchFolder, host: str, port: int) -> None:
    """Serves until no trial is left."""
    plan = folder.read_plan()
    tuner = serve(plan, folder, host, port)
    oracle = tuner.oracle
    publisher = Publisher(plan, folder)
    publisher.write(oracle.records())
    leases = Leases(folder, float(os.environ.get("KERASTRICKS_LEASE_SECONDS", LEASE_SECONDS)))
    with quiet():
        server = threading.Thread(target=tuner.search, daemon=True)
        server.start()
        if not _watch(oracle, publisher, leases, server):
            os._exit(1)  # the port is taken: the traceback is in the log
        write_json(folder.finished, {"trials": len(oracle.end_order)})
        time.sleep(_FAREWELL_SECONDS)
    os._exit(0)  # keras-tuner's server never ends


def _watch(oracle: Any, publisher: Publisher, leases: Leases, server: threading.Thread) -> bool:
    """Waits until the search or its server ends, and returns whether the search did."""
    published = len(oracle.end_order)
    while True:
        time.sleep(0.2)
        for name in leases.expired(list(oracle.ongoing_trials), time.monotonic()):
            oracle.release(name)
        ended = len(oracle.end_order)
        over = oracle.is_over and not oracle.ongoing_trials
        if ended != published or over:
            publisher.write(oracle.records(), last=over)
            published = ended
        if over:
            return True
        if not server.is_alive():
            return False


if __name__ == "__main__":
    end_with_parent()
    with contextlib.suppress(KeyboardInterrupt):
        main(SearchFolder(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]))

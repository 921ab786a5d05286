"""What a worker says about itself in the folder of the search."""

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

BEAT_SECONDS = 1.0


class Heartbeat:
    """Writes workers/NAME.json: that the worker lives, and how its trial goes.

    Clocks of machines differ: what changes is a count, and whoever watches it takes the time.

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
        """Fields of its record, from now on."""
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
        temporary = self._path.with_name(f".tmp-{self._path.name}")
        with contextlib.suppress(OSError):  # a full disk: the trial itself will say so
            temporary.write_text(json.dumps(self._record), encoding="utf-8")
            temporary.replace(self._path)

"""Messages between a search and the process of a trial: a line of JSON each, on the standard streams."""

import json
import os
import queue
import sys
import threading
from typing import IO, Any


class Channel:
    """The trial's side.

    What anything else prints goes to standard error. When the other side is gone, however it died, this process ends at
    once: nobody waits for its result.
    """

    def __init__(self) -> None:
        self._out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._messages.put(json.loads(line))
        os._exit(3)

    def send(self, **message: Any) -> None:
        """One message."""
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def receive(self) -> dict[str, Any]:
        """Waits for the next message."""
        return self._messages.get()

"""Admission of requests: how many wait, how long, and the threads that they run in."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from kerastricks.serving.server.models import Models
from kerastricks.serving.server.options import ServeOptions
from kerastricks.serving.server.status import ServingError

T = TypeVar("T")
_THREADS = 4  # for each row of a batch: a request waits in its thread until its batch has run


class Engine:
    """Runs requests in threads.

    Args:
        models: of the repository.
        options: length of the queue and the deadline.
    """

    def __init__(self, models: Models, options: ServeOptions) -> None:
        self.models = models
        self._options = options
        self._threads = ThreadPoolExecutor(min(options.queue, _THREADS * options.max_batch), "request")
        self._lock = threading.Lock()
        self.running = 0
        self.draining = False  # not ready any more; what comes all the same is answered
        self.closed = False

    async def run(self, job: Callable[[], T], timeout: float | None = None) -> T:
        """Run a blocking job in a thread.

        Args:
            job: parses, predicts and formats.
            timeout: seconds that its client waits, where they are fewer than the server's.

        Raises:
            ServingError: RESOURCE_EXHAUSTED where the queue is full, DEADLINE_EXCEEDED where it takes too long,
                UNAVAILABLE where the server ends, and what the job raises.
        """
        if self.closed:
            raise ServingError("UNAVAILABLE", "the server is shutting down")
        with self._lock:
            if self.running >= self._options.queue:
                raise ServingError("RESOURCE_EXHAUSTED", f"{self.running} requests wait or run: try again later")
            self.running += 1
        future = self._threads.submit(job)
        future.add_done_callback(self._ended)
        limit = self._options.deadline if timeout is None else min(timeout, self._options.deadline)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), limit)
        except TimeoutError:
            raise ServingError("DEADLINE_EXCEEDED", f"not answered within {limit:.3g} s") from None
        except asyncio.CancelledError:
            if self.closed:
                raise ServingError("UNAVAILABLE", "the server is shutting down") from None
            raise  # its client is gone

    async def drain(self, seconds: float) -> bool:
        """Refuse new requests and wait for those that run; whether all were answered."""
        self.draining = self.closed = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.running and loop.time() < end:
            await asyncio.sleep(0.01)
        self._threads.shutdown(wait=False, cancel_futures=True)
        return not self.running

    def _ended(self, _: Future[Any]) -> None:
        with self._lock:
            self.running -= 1

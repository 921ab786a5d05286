"""Admission of requests: how many wait, and how long."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from kerastricks.serving.server.options import ServeOptions
from kerastricks.serving.server.status import ServingError

if TYPE_CHECKING:
    from kerastricks.serving.server.models import Models

T = TypeVar("T")
P = ParamSpec("P")
_SMALL = 1 << 16  # bytes: a thread's start costs what parsing that many of JSON does


async def off_loop(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread where there is much for it to do, so that other clients do not wait for it.

    Args:
        size: in bytes, of what it parses or writes.
        function: that is called.
        *args: of it.
        **kwargs: of it.
    """
    if size <= _SMALL:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


def values_size(arrays: Mapping[str, np.ndarray]) -> int:
    """About how many bytes arrays are in JSON or in a message."""
    return 10 * sum(array.size for array in arrays.values())


class Engine:
    """Runs requests within the limits of the server.

    Args:
        models: of the repository.
        options: length of the queue and the deadline.
    """

    def __init__(self, models: "Models", options: ServeOptions) -> None:
        self.models = models
        self._options = options
        self._requests: set[asyncio.Task[Any]] = set()
        self.draining = False  # not ready any more; what comes all the same is answered
        self.closed = False

    @property
    def running(self) -> int:
        """How many requests wait or run."""
        return len(self._requests)

    async def run(self, job: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a request.

        Args:
            job: parses, predicts and formats.
            timeout: seconds that its client waits, where they are fewer than the server's.

        Raises:
            ServingError: RESOURCE_EXHAUSTED where the queue is full, DEADLINE_EXCEEDED where it takes too long,
                UNAVAILABLE where the server ends, and what the job raises.
        """
        if self.closed or len(self._requests) >= self._options.queue:
            job.close()
            if self.closed:
                raise ServingError("UNAVAILABLE", "the server is shutting down")
            raise ServingError("RESOURCE_EXHAUSTED", f"{len(self._requests)} requests wait or run: try again later")
        task = asyncio.current_task()
        assert task is not None
        self._requests.add(task)
        limit = self._options.deadline if timeout is None else min(timeout, self._options.deadline)
        try:
            async with asyncio.timeout(limit):
                return await job
        except TimeoutError:
            raise ServingError("DEADLINE_EXCEEDED", f"not answered within {limit:.3g} s") from None
        finally:
            self._requests.discard(task)

    async def drain(self, seconds: float) -> bool:
        """Refuse new requests and wait for those that run; whether all were answered."""
        self.draining = self.closed = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._requests and loop.time() < end:
            await asyncio.sleep(0.01)
        return not self._requests

"""Batches of the rows of several requests.

TensorFlow's own BatchFunction was measured beside this and left: each request is then a call of the session of its own,
in a thread of its own, which costs as much as half of a small model, and its thread wakes a thousand times a second.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from kerastricks.serving.server.status import ServingError

Arrays = list[np.ndarray]
_PAUSE = 0.0005  # seconds without a new request that end the wait: longer than one takes to be read


@dataclass(eq=False)
class _Waiting:
    inputs: Sequence[np.ndarray]
    names: tuple[str, ...]
    answer: "Future[Arrays]" = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return len(self.inputs[0])

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [one.shape[1:] for one in self.inputs]


class Batches:
    """Calls a function with the rows of all requests that wait, in a thread of its own.

    While one batch runs, the next one fills. A batch that fails is run again request by request, so that one with wrong
    rows fails alone. A large batch takes little longer than a small one (a ResNet-20 at 32x32 on two cores 15 ms for 16
    images, 10 ms for 8), so a short wait for more pays where several clients ask.

    Args:
        call: takes arrays with as many rows each and names of outputs, returns an array for each name, with those rows.
        max_rows: of a batch.
        delay: most seconds that a batch waits for more requests, which it does while they keep coming, and where the
            last one had several.
    """

    def __init__(
        self, call: Callable[[Sequence[np.ndarray], tuple[str, ...]], Arrays], max_rows: int, delay: float
    ) -> None:
        self._call = call
        self._max_rows = max_rows
        self._delay = delay
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, inputs: Sequence[np.ndarray], names: tuple[str, ...]) -> "Future[Arrays]":
        """Add a request, of no more rows than a batch has; one that is cancelled before its batch starts is not run."""
        one = _Waiting(inputs, names)
        with self._changed:
            if self._closed:
                raise ServingError("UNAVAILABLE", "the model is being unloaded")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
                self._thread.start()
            self._waiting.append(one)
            self._changed.notify()
        one.answer.add_done_callback(lambda answer: self._forget(one) if answer.cancelled() else None)
        return one.answer

    def close(self) -> None:
        """Answer what waits with UNAVAILABLE, and wait for the batch that runs."""
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        for one in left:
            if one.answer.set_running_or_notify_cancel():
                one.answer.set_exception(ServingError("UNAVAILABLE", "the model is being unloaded"))
        if self._thread is not None:
            self._thread.join()

    def _forget(self, one: _Waiting) -> None:
        """Free the memory of a request whose client has gone."""
        with self._changed, suppress(ValueError):  # its batch has been taken
            self._waiting.remove(one)

    def _run(self) -> None:
        last = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
            if last > 1:
                self._wait_for_more()
            with self._changed:
                if self._closed:
                    return
                batch = self._take() if self._waiting else []
            last = len(batch)
            batch = [one for one in batch if one.answer.set_running_or_notify_cancel()]
            if batch:
                self._answer(batch)

    def _wait_for_more(self) -> None:
        """Wait while requests keep coming: the clients of the last batch have just been answered, and ask again."""
        end = time.monotonic() + self._delay
        count = 0
        while time.monotonic() < end and not self._closed:
            with self._changed:
                waiting, rows = len(self._waiting), sum(one.rows for one in self._waiting)
            if waiting <= count or rows >= self._max_rows:
                return
            count = waiting
            time.sleep(_PAUSE)

    def _take(self) -> list[_Waiting]:
        """The oldest requests that fit into a batch, and have rows of one shape."""
        batch = [self._waiting.popleft()]
        shapes, rows = batch[0].shapes, batch[0].rows
        while self._waiting and rows + self._waiting[0].rows <= self._max_rows and self._waiting[0].shapes == shapes:
            batch.append(self._waiting.popleft())
            rows += batch[-1].rows
        return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            answers = self._call_together(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for one in batch:
                self._answer([one])
            return
        for one, answer in zip(batch, answers, strict=True):
            one.answer.set_result(answer)

    def _call_together(self, batch: list[_Waiting]) -> list[Arrays]:
        if len(batch) == 1:
            return [self._call(batch[0].inputs, batch[0].names)]
        names = tuple(sorted({name for one in batch for name in one.names}))
        inputs = [np.concatenate(columns) for columns in zip(*(one.inputs for one in batch), strict=True)]
        outputs = dict(zip(names, self._call(inputs, names), strict=True))
        if any(len(array) != len(inputs[0]) for array in outputs.values()):
            raise ServingError("INTERNAL", "an output has other rows than the inputs")
        answers, start = [], 0
        for one in batch:
            end = start + one.rows
            answers.append([outputs[name][start:end] for name in one.names])
            start = end
        return answers

"""Batches of the workers in the order they arrive, with time limits.

TensorFlow's client waits without limit, for workers that are dead too, where neither time-outs nor Ctrl-C reach it. So
a thread of its own waits in it, and the consumer waits for the thread. While the main thread waits there, Python
cannot handle Ctrl-C and SIGTERM: `PendingSignal` looks for them.
"""

import logging
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from kerastricks.data.service.address import Address, is_reachable
from kerastricks.data.service.ask import a_worker_takes_steps, describe
from kerastricks.errors import Interrupted, ServiceLostError

LOG = logging.getLogger("kerastricks")

NOTICE_SECONDS = 30.0  # without a batch, until a line reports what the trainer waits for
GIVE_UP_SECONDS = 600.0  # of silence, until an error ends it
# Of silence at the end of an epoch, until workers are asked whether they still get steps: then there are none left, and
# what is missing is lost. It settles that long: workers that were cut off try again every fifteen seconds at least.
LOST_SECONDS = 60.0
SETTLE_SECONDS = 20.0
_DISPATCHER_SECONDS = 5.0  # between two checks of it
_LOOK_SECONDS = 0.25
GRACE_SECONDS = 1.0  # for the main thread, to handle it itself
_FORGOTTEN_SECONDS = 60.0  # later it has been handled

_socket: socket.socket | None = None
_kept: list[socket.socket] = []


class PendingSignal:
    """Pending signals, which Python cannot handle yet.

    They are seen if the first instance is made in the main thread, where nobody else listens.
    """

    def __init__(self) -> None:
        self.number = 0
        self._seen = float("-inf")
        _listen()

    def forget(self) -> None:
        """Discard the signals so far."""
        self.look()
        self._seen = float("-inf")

    def look(self) -> None:
        """Note the signals that have arrived."""
        if _socket is None:
            return
        try:
            numbers = _socket.recv(4096)
        except BlockingIOError:
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            if number in numbers:
                self.number, self._seen = int(number), time.monotonic()

    def waits(self) -> bool:
        """Whether a signal has arrived and its grace is over."""
        self.look()
        return GRACE_SECONDS < time.monotonic() - self._seen < _FORGOTTEN_SECONDS


def _listen() -> None:
    global _socket
    if _socket is not None or threading.current_thread() is not threading.main_thread():
        return
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    other = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    if other == -1:
        _socket = reader
        _kept.append(writer)
    else:
        signal.set_wakeup_fd(other)
        reader.close()
        writer.close()


class Stream:
    """One iteration over a distributed data set.

    Args:
        make: makes the data set; called in the thread that reads it.
        address: address of the dispatcher.
        total: batches of the iteration, or None without end.
        signals: signals that wait for the consumer.
    """

    def __init__(
        self, make: Callable[[], tf.data.Dataset], address: Address, total: int | None, signals: PendingSignal
    ) -> None:
        self.address = address
        self.total = total
        self.signals = signals
        signals.forget()
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=2)
        self._closed = threading.Event()
        # A daemon: one that waits for a dead worker never ends.
        threading.Thread(target=self._read, args=(make,), name="data-service", daemon=True).start()

    def __iter__(self) -> Iterator[Any]:
        """The batches, in order of arrival.

        Raises:
            ServiceLostError: when none has come for GIVE_UP_SECONDS, or the service fails.
            Interrupted: when a signal has come that the consumer cannot see.
        """
        count = 0
        try:
            while self.total is None or count < self.total:
                item = self._wait(count)
                if item is None:
                    break
                if isinstance(item, Exception):
                    raise ServiceLostError(f"{self.address}: {describe(item)}")
                count += 1
                yield item
        finally:
            self._closed.set()
        if self.total is not None and count < self.total:
            LOG.warning(
                "%s: %d of the epoch's %d batches were lost with a worker", self.address, self.total - count, self.total
            )

    def _wait(self, count: int) -> Any:
        """The next batch, None at the end, or the exception that ended the reading."""
        began = answered = looked = time.monotonic()
        settling: float | None = None
        noticed = False
        self.signals.look()
        while True:
            try:
                return self._queue.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                now = time.monotonic()
                silence = now - began
            if silence > GRACE_SECONDS and self.signals.waits():
                raise Interrupted(self.signals.number)
            if silence > GIVE_UP_SECONDS:
                raise ServiceLostError(
                    f"{self.address}: no batch for {silence:.0f} s: see whether the dispatcher and workers run"
                )
            if silence > NOTICE_SECONDS and not noticed:
                LOG.warning("%s: no batch for %.0f s: waiting for its workers", self.address, silence)
                noticed = True
            if self.total is None or not count:
                continue
            if now - looked > _DISPATCHER_SECONDS:
                looked = now
                if not is_reachable(self.address):
                    answered, settling = time.monotonic(), None
            if settling is not None and now - settling > SETTLE_SECONDS:
                return None
            if settling is None and now - answered > LOST_SECONDS:
                if a_worker_takes_steps(self.address):
                    settling = time.monotonic()
                else:
                    answered = time.monotonic()

    def _read(self, make: Callable[[], tf.data.Dataset]) -> None:
        try:
            for batch in make():
                if not self._put(batch):
                    return
            self._put(None)
        except Exception as error:  # told to the consumer
            self._put(error)

    def _put(self, item: Any) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_SECONDS)
                return True
            except queue.Full:
                continue
        return False

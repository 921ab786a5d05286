"""Resumable trainings: signals become requests to stop, checkpoints are written in time, `fit` starts mid-epoch."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from kerastricks.callbacks.logs import BatchLossLog
from kerastricks.errors import Interrupted
from kerastricks.training import checkpoint
from kerastricks.training.checkpoint import Position

SECONDS_BETWEEN_CHECKPOINTS = 60.0
_SHARE_OF_TIME = 20  # a checkpoint that takes one second to write is written at most every 20 seconds


class StopRequest:
    """Set by the first Ctrl-C or SIGTERM; a second Ctrl-C is Python's own."""

    signal_number: int | None = None


@contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Turns SIGINT and SIGTERM into a request, so that the current step is finished and saved.

    Outside the main thread, where Python allows no handlers, nothing is caught.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: Any) -> None:
        request.signal_number = number
        signal.signal(number, before[signal.Signals(number)])

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number in numbers:
            signal.signal(number, before[number])


class Checkpointer(keras.callbacks.Callback):
    """Saves the state after each epoch, once a minute within one, and when a stop is asked for.

    It must be the last callback: what it saves includes what the others did.

    Args:
        path: of the checkpoint.
        saved_callbacks: whose plain attributes are part of the state.
        batch_loss_log: whose file must reach as far as the checkpoint.
        steps_per_epoch: training batches of a whole epoch.
        first_step: where this process begins.
        request: asks for a stop.
    """

    def __init__(
        self,
        path: Path,
        saved_callbacks: Sequence[keras.callbacks.Callback],
        batch_loss_log: BatchLossLog,
        steps_per_epoch: int,
        first_step: int,
        request: StopRequest,
    ) -> None:
        super().__init__()
        self.path = path
        self.saved_callbacks = saved_callbacks
        self.batch_loss_log = batch_loss_log
        self.steps_per_epoch = steps_per_epoch
        self.first_step = first_step
        self.step = first_step
        self.request = request
        self._saved_at = time.monotonic()
        self._interval = SECONDS_BETWEEN_CHECKPOINTS

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.step == self.first_step and self.step % self.steps_per_epoch:
            checkpoint.restore_metrics(self.path, self.model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.step += 1
        if self.step % self.steps_per_epoch == 0:
            return  # the epoch is saved when validation and the other callbacks are done with it
        if self.request.signal_number is not None or time.monotonic() - self._saved_at > self._interval:
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._save()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._write(finished=True)

    def _save(self) -> None:
        self._write(finished=False)
        if self.request.signal_number is not None:
            raise Interrupted(self.request.signal_number)

    def _write(self, finished: bool) -> None:
        started = time.monotonic()
        position = Position(self.step, bool(self.model.stop_training), finished)
        self.batch_loss_log.flush()
        checkpoint.save(self.path, self.model, self.saved_callbacks, position)
        self._saved_at = time.monotonic()
        self._interval = max(SECONDS_BETWEEN_CHECKPOINTS, _SHARE_OF_TIME * (self._saved_at - started))


class ResumableCallbacks(keras.callbacks.CallbackList):
    """Presents several `fit` calls to callbacks as one training.

    The rest of an interrupted epoch is a `fit` of its own. Callbacks see one beginning, one end, and batches
    counted from the start of the epoch.

    Args:
        callbacks: in the order they are called.
        model: that is trained.
        epochs: of the whole training.
        steps: of a whole epoch.
    """

    def __init__(
        self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, epochs: int, steps: int
    ) -> None:
        super().__init__(list(callbacks), add_history=True, model=model, epochs=epochs, steps=steps)
        self.batch_offset = 0
        self.last_logs: dict[str, Any] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Nothing: see `begin`."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Nothing: see `end`."""
        self.last_logs = logs

    def begin(self) -> None:
        """Training begins."""
        super().on_train_begin()

    def end(self) -> None:
        """Training has ended."""
        super().on_train_end(self.last_logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_begin(batch + self.batch_offset, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch + self.batch_offset, logs)


class SeedTorch(keras.callbacks.Callback):
    """Seeds torch's global generators from (seed, step) before every step: they need no saving or restoring.

    Args:
        seed: of the training.
        first_step: where this process begins.
    """

    def __init__(self, seed: int, first_step: int) -> None:
        super().__init__()
        self.seed = seed
        self.step = first_step

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        import torch

        torch.manual_seed((self.seed << 32) + self.step)
        self.step += 1

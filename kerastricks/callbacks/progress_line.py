"""Progress of a training: a live line per epoch."""

import time
from typing import Any

import keras
from rich.console import Console
from rich.live import Live
from rich.text import Text

from kerastricks.progress import clock


class ProgressLine(keras.callbacks.Callback):
    """Shows epoch, loss, accuracy, validation, images per second and the remaining time.

    On a terminal the line of the current epoch is alive; elsewhere each epoch prints one line when it ends, and a long
    one some before: every tenth of it or every minute, ten seconds apart or more.

    Args:
        batch_size: for images per second.
        first_step: first step of a resumed training.
        console: rich's; standard error by default.
    """

    def __init__(self, batch_size: int, first_step: int = 0, console: Console | None = None) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.first_step = first_step
        self._console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._done = 0
        self._drawn = 0.0
        self._drawn_batches = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_started = time.perf_counter()
        self._epoch_batches = 0
        self._drawn_batches = 0
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._done += 1
        self._epoch_batches += 1
        self._epoch_seconds = time.perf_counter() - self._epoch_started
        now = time.perf_counter()
        if self._live is not None and now - self._drawn > 0.2:
            self._drawn = now
            share = f"{(batch + 1) / self.params['steps']:4.0%}"
            self._live.update(self._line(share, logs or {}), refresh=True)
        elif self._live is None:
            self._print_on_the_way(batch + 1, now, logs or {})

    def _print_on_the_way(self, batches: int, now: float, logs: dict[str, Any]) -> None:
        steps = self.params["steps"]
        waited = now - max(self._drawn, self._epoch_started)
        enough = waited > 60.0 or (batches - self._drawn_batches) * 10 >= steps
        if batches < steps and waited > 10.0 and enough:
            self._drawn, self._drawn_batches = now, batches
            self._console.print(self._line(f"{batches / steps:4.0%}", logs), soft_wrap=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.close()
        self._console.print(self._line("", logs or {}), soft_wrap=True)

    def close(self) -> None:
        """Removes the live line; called also when training is interrupted."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, share: str, logs: dict[str, Any]) -> Text:
        epochs, steps = self.params["epochs"], self.params["steps"]
        width = len(str(epochs))
        parts = [f"epoch {self._epoch + 1:{width}}/{epochs}"]
        if share:
            parts.append(share)
        parts += [f"{name} {float(logs[name]):.4f}" for name in _ORDER if name in logs]
        speed = self._epoch_batches * self.batch_size / max(self._epoch_seconds, 1e-9)
        parts.append(f"{speed:,.0f} images/s")
        left = epochs * steps - self.first_step - self._done
        seconds = (time.perf_counter() - self._started) / max(self._done, 1) * left
        parts.append(f"ETA {clock(seconds)}" if left > 0 else f"in {clock(time.perf_counter() - self._started)}")
        return Text("  ".join(parts))


_ORDER = ("loss", "accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1")

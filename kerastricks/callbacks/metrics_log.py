"""One line of JSON per epoch."""

import json
import time
from pathlib import Path
from typing import Any

import keras

from kerastricks.files import append_line, write_text


class MetricsLog(keras.callbacks.Callback):
    """Appends epoch, step, metrics, learning rate and speed of every epoch to a file of JSON lines.

    Args:
        path: of the file.
        batch_size: for images per second.
    """

    def __init__(self, path: Path, batch_size: int) -> None:
        super().__init__()
        self.path = path
        self.batch_size = batch_size
        self._batches = 0
        self._seconds = 0.0  # of training batches; validation is not counted

    def cut(self, epochs: int) -> None:
        """Drops the lines after the first `epochs`."""
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(self.path, "".join(lines[:epochs]))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches, self._seconds = 0, 0.0
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches += 1
        self._seconds = time.perf_counter() - self._started

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        optimizer = self.model.optimizer
        speed = self._batches * self.batch_size / max(self._seconds, 1e-9)
        line = {
            "epoch": epoch + 1,
            "step": int(keras.ops.convert_to_numpy(optimizer.iterations.value)),
            **{name: float(value) for name, value in (logs or {}).items()},
            "learning_rate": _highest_rate(optimizer),
            "images_per_second": round(speed, 1),
            "seconds": round(time.perf_counter() - self._started, 3),
        }
        append_line(self.path, json.dumps(line))


def _highest_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """A `MultiOptimizer` has a rate for each group of layers."""
    inner = getattr(optimizer, "optimizers", [optimizer])
    return max(float(keras.ops.convert_to_numpy(one.learning_rate)) for one in inner)

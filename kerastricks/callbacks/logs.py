"""Logs: the loss of every batch in a compact file, and a line of JSON per epoch."""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerastricks.errors import TrainingDivergedError
from kerastricks.files import append_line, write_text, written

if TYPE_CHECKING:
    from kerastricks.callbacks.doctor import Doctor


class StepLoss:
    """The loss of each step: the model's own `batch_loss`, or the difference of the epoch's running means.

    The difference is exact to about 1e-5 and assumes batches of one size. With several steps per execution it is
    their mean.
    """

    def __init__(self) -> None:
        self._running_mean = 0.0
        self._batches = 0

    def after(self, model: keras.Model, batch: int, logs: dict[str, Any]) -> float:
        """The loss of the step that has just ended.

        Args:
            model: that is trained.
            batch: index in the epoch, from 0.
            logs: of Keras: "loss" is the mean of the epoch so far.
        """
        own = getattr(model, "batch_loss", None)
        if own is not None:
            return float(keras.ops.convert_to_numpy(own.value))
        before, batches = self._running_mean, self._batches
        if batches > batch:  # of the epoch before
            before, batches = 0.0, 0
        self._running_mean, self._batches = mean, done = float(logs["loss"]), batch + 1
        return (mean * done - before * batches) / (done - batches)


class BatchLossLog(keras.callbacks.Callback):
    """Appends each batch's own loss to a file of little-endian float32: `numpy.fromfile(path, "<f4")`.

    Keras's `logs["loss"]` is the mean of the epoch so far, which hides spikes and the width of the noise. Batch k
    stands at byte 4 k, so that a resumed run truncates the file at its step. A loss that is not finite ends the
    training. In a plain Keras `fit` the loss is taken from the differences of the running mean, which is exact to
    about 1e-5 and assumes batches of one size.

    Args:
        path: of the file, or None to only watch.
        learning_rate: named in the message when training diverges.
        doctor: a `Doctor` that is called before this callback, and has read the loss: what it stops for ends the
            training at once.

    Raises:
        TrainingDivergedError: at the first batch whose loss is NaN or infinite, and where `doctor` stops.
    """

    def __init__(self, path: Path | None, learning_rate: float | None = None, doctor: "Doctor | None" = None) -> None:
        super().__init__()
        self.path = path
        self.learning_rate = learning_rate
        self.doctor = doctor
        self._pending: list[float] = []
        self._epoch = 0
        self._step_loss = StepLoss()

    def cut(self, steps: int) -> None:
        """Drops what was written after the first `steps` batches."""
        self._pending = []
        if self.path is not None and self.path.exists():
            missing = steps - self.path.stat().st_size // 4
            with open(self.path, "r+b") as file:
                file.truncate(4 * min(steps, steps - missing))
            self._pending = [float("nan")] * missing  # of a file that somebody shortened
            self.flush()

    def flush(self) -> None:
        """Writes pending losses."""
        if self.path is not None and self._pending:
            with written(self.path), open(self.path, "ab") as file:
                file.write(np.array(self._pending, "<f4").tobytes())
                file.flush()
                os.fsync(file.fileno())
        self._pending = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # Reading it waits for the step, and takes longer than anything else here.
        loss = self._step_loss.after(self.model, batch, logs or {}) if self.doctor is None else self.doctor.loss
        self._pending.append(loss)
        if len(self._pending) >= 256:
            self.flush()
        self._end_hopeless()
        if not np.isfinite(loss):
            self.flush()
            self._diverged(f"the loss is {loss} at epoch {self._epoch + 1}, batch {batch + 1}")

    def _diverged(self, what: str) -> None:
        rate = f" (now {self.learning_rate:g})" if self.learning_rate else ""
        raise TrainingDivergedError(f"{what}: lower learning_rate{rate}")

    def _end_hopeless(self) -> None:
        if self.doctor is not None and self.doctor.failure is not None:
            self.flush()
            raise TrainingDivergedError(self.doctor.failure)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.flush()
        self._end_hopeless()
        validation = float((logs or {}).get("val_loss", 0.0))
        if not np.isfinite(validation):
            self._diverged(f"the validation loss is {validation} after epoch {epoch + 1}")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.flush()


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
            "learning_rate": highest_rate(optimizer),
            "images_per_second": round(speed, 1),
            "seconds": round(time.perf_counter() - self._started, 3),
        }
        append_line(self.path, json.dumps(line))


def highest_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The highest of all rates: a `MultiOptimizer` has one for each group of layers."""
    inner = getattr(optimizer, "optimizers", [optimizer])
    return max(float(keras.ops.convert_to_numpy(one.learning_rate)) for one in inner)

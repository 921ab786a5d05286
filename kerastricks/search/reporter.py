"""Tells how a trial goes, epoch by epoch, and pauses it when it is told to."""

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
# Called with the epoch, from 1, and its metrics; False pauses.
Tell = Callable[[int, dict[str, float]], bool]


class Reporter(keras.callbacks.Callback):
    """Asks after each epoch whether to go on.

    A pause is what Ctrl-C is: `fit` saves its checkpoint at the end of the epoch and raises `Interrupted`, and goes on
    from there when it is called again.

    Args:
        tell: is told, and answers.
        epochs: to pause after, at the latest.
    """

    is_saved = False  # a trial goes on to another epoch, and as a run without this

    def __init__(self, tell: Tell, epochs: int) -> None:
        super().__init__()
        self.tell = tell
        self.epochs = epochs
        self.paused = False

    def replay(self, metrics: Path, epochs: int) -> bool:
        """Tells what was trained before; whether there is more to train.

        Args:
            metrics: metrics.jsonl of the run.
            epochs: that its checkpoint holds.
        """
        lines = metrics.read_text(encoding="utf-8").splitlines()[:epochs] if metrics.exists() else []
        for line in lines:
            record = json.loads(line)
            if not self.tell(record["epoch"], {name: record[name] for name in METRICS}):
                return False
        return len(lines) < self.epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = {name: float((logs or {})[name]) for name in METRICS}
        if not all(map(math.isfinite, metrics.values())):
            return  # `fit` raises right behind this
        goes_on = self.tell(epoch + 1, metrics)
        if (not goes_on or epoch + 1 >= self.epochs) and epoch + 1 < self.params["epochs"]:
            self.paused = True
            signal.raise_signal(signal.SIGTERM)

"""A training log: losses and accuracies of steps and epochs, whoever wrote it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerastricks.errors import UsageError

QUANTITIES = ("loss", "val_loss", "accuracy", "val_accuracy", "learning_rate")


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingLog:
    """Losses and accuracies of one training, as arrays.

    Arrays of epochs have the length E, arrays of steps the length N; both may be empty. What was not logged is NaN; a
    loss that was NaN or infinite is infinite.

    Args:
        name: of the file or run.
        epochs: (E,) float64, when an epoch's values were logged, in epochs; in steps where no epochs are known.
        loss: (E,) float64, mean training loss of the epoch.
        val_loss: (E,) float64, loss on validation after the epoch.
        accuracy: (E,) float64, training accuracy in [0, 1].
        val_accuracy: (E,) float64, validation accuracy in [0, 1].
        learning_rate: (E,) float64.
        steps: (N,) float64, numbers of the steps.
        step_loss: (N,) float64, training loss of the batch, or of few batches.
        classes: how many; None where it is not known.
        batch_size: images of a step; None where it is not known.
        optimizer: its name, "sgd" or "adamw"; None where it is not known.
        floor: below which no loss can fall, as with label smoothing; in nats.
        notes: what the reader met: a truncated file, rows that were left out.
    """

    name: str = "log"
    epochs: np.ndarray = field(default_factory=lambda: np.empty(0))
    loss: np.ndarray = field(default_factory=lambda: np.empty(0))
    val_loss: np.ndarray = field(default_factory=lambda: np.empty(0))
    accuracy: np.ndarray = field(default_factory=lambda: np.empty(0))
    val_accuracy: np.ndarray = field(default_factory=lambda: np.empty(0))
    learning_rate: np.ndarray = field(default_factory=lambda: np.empty(0))
    steps: np.ndarray = field(default_factory=lambda: np.empty(0))
    step_loss: np.ndarray = field(default_factory=lambda: np.empty(0))
    classes: int | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    floor: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Sequence[float] | np.ndarray], name: str = "log", **known: Any
    ) -> "TrainingLog":
        """Make the log of columns of one length: those of `QUANTITIES`, "step_loss", "epoch" and "step".

        A row is an epoch's where it has a validation value, or where no other row is of its epoch; other rows are
        steps. Empty cells are NaN, losses that are NaN or infinite are infinite.

        Args:
            columns: by name.
            name: of the file or run.
            **known: `classes`, `batch_size`, `optimizer`, `notes`.

        Raises:
            UsageError: for columns of unequal lengths, without a loss, or that start over in the middle.
        """
        arrays = {key: np.asarray(values, np.float64) for key, values in columns.items()}
        lengths = {key: len(values) for key, values in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise UsageError(f"{name}: columns of unequal lengths: {lengths}")
        count = next(iter(lengths.values()), 0)
        if count == 0:
            raise UsageError(f"{name}: is empty: no row of a training")
        missing = np.full(count, np.nan)
        values = {key: arrays.get(key, missing) for key in (*QUANTITIES, "step_loss")}
        values["learning_rate"] = _filled(values["learning_rate"])
        for key in ("accuracy", "val_accuracy"):
            if np.nanmax(np.append(values[key], 0)) > 1.5:  # percentages, as timm has them
                values[key] = values[key] / 100
        if all(np.isnan(values[key]).all() for key in ("loss", "val_loss", "step_loss")):
            raise UsageError(f"{name}: has no value of a loss. Found: {', '.join(arrays) or 'nothing'}")
        epoch, step = arrays.get("epoch", missing), arrays.get("step", missing)
        # Lightning writes the learning rate in rows of its own.
        there = ~np.all([np.isnan(one) for key, one in values.items() if key != "learning_rate"], axis=0)
        values = {key: one[there] for key, one in values.items()}
        epoch, step = epoch[there], step[there]
        _refuse_several(epoch, step, name)
        of_epoch = _rows_of_epochs(values, epoch, step)
        return _assemble(values, epoch, step, of_epoch, name, known)

    @property
    def steps_per_epoch(self) -> float | None:
        """Steps of an epoch, where both are known."""
        if not len(self.steps) or not len(self.epochs) or not self.epochs[-1] > 0:
            return None
        return float(self.steps[-1] / self.epochs[-1])

    def has(self, quantity: str) -> bool:
        """Whether a quantity was logged for two epochs or more."""
        return int(np.isfinite(getattr(self, quantity)).sum()) > 1

    def joined(self, other: "TrainingLog") -> "TrainingLog":
        """The log with the steps of another one, where a training has two files."""
        epochs, steps = (self, other) if len(self.epochs) else (other, self)
        if len(epochs.steps) or not len(steps.steps) or len(steps.epochs):
            raise UsageError(
                f"{self.name} and {other.name}: two files of one training are one with rows per epoch and one per step"
            )
        return replace(epochs, steps=steps.steps, step_loss=steps.step_loss, notes=(*self.notes, *other.notes))


def smoothing_floor(smoothing: float, classes: int) -> float:
    """The least cross-entropy with smoothed labels, their own entropy, in nats (Szegedy et al., arXiv 1512.00567)."""
    if not smoothing or classes < 2:
        return 0.0
    wrong = smoothing / classes
    right = 1 - smoothing + wrong
    return -right * math.log(right) - (classes - 1) * wrong * math.log(wrong)


def _refuse_several(epoch: np.ndarray, step: np.ndarray, name: str) -> None:
    """Refuse a log that starts over: it is that of several runs."""
    for label, values in (("step", step), ("epoch", epoch)):
        known = values[np.isfinite(values)]
        if len(known) < 2:
            continue
        back = np.flatnonzero(np.diff(known) < 0)
        # A validation row may be written late; a new run begins near the beginning.
        starts = [index for index in back if known[index + 1] <= known[0] + 1 and known[index] > known[index + 1] + 0.5]
        if starts:
            raise UsageError(
                f"{name}: {len(starts) + 1} runs in one file: {label} starts over in row {starts[0] + 2}: "
                "give a file per run"
            )
        return


def _rows_of_epochs(values: dict[str, np.ndarray], epoch: np.ndarray, step: np.ndarray) -> np.ndarray:
    """(rows,) bool: which rows are an epoch's and not a step's."""
    validated = ~np.isnan(values["val_loss"]) | ~np.isnan(values["val_accuracy"])
    if np.isnan(epoch).all():
        if np.isnan(step).all() or not validated.any():
            return np.full(len(epoch), np.isnan(step).all())
        return validated
    trained = ~np.isnan(values["loss"]) & ~validated & np.isfinite(epoch)
    _, counts = np.unique(np.floor(epoch[trained]), return_counts=True)
    if len(counts) and counts.max() > 1:  # several rows with a training loss in an epoch are steps
        return validated
    return np.isnan(values["step_loss"])


def _assemble(
    values: dict[str, np.ndarray],
    epoch: np.ndarray,
    step: np.ndarray,
    of_epoch: np.ndarray,
    name: str,
    known: dict[str, Any],
) -> TrainingLog:
    per_step = np.where(np.isnan(values["step_loss"]) & ~of_epoch, values["loss"], values["step_loss"])
    is_step = ~np.isnan(per_step)
    steps = np.where(np.isnan(step), np.arange(len(step), dtype=np.float64), step)
    position = np.where(np.isnan(epoch), steps, epoch)
    if is_step.any() and np.isnan(epoch[is_step]).all() and not np.isnan(epoch).all():
        # Steps and epochs are numbered apart, as Keras does it for TensorBoard.
        position[is_step] = steps[is_step] * (np.nanmax(epoch) + 1) / max(steps[is_step].max() + 1, 1) - 1
    positions, log = _merged(position[of_epoch], {key: values[key][of_epoch] for key in QUANTITIES})
    if is_step.any() and len(positions) and np.isnan(log["loss"]).all():
        log["loss"] = _means_between(position[is_step], per_step[is_step], positions)
    # Epochs counted from 0 are Keras's: row 0 was logged after the first epoch.
    if len(positions) and not np.isnan(epoch).all() and positions[0] == 0 and (np.diff(positions) == 1).all():
        positions = positions + 1
    return TrainingLog(
        name=name,
        epochs=positions,
        loss=log["loss"],
        val_loss=log["val_loss"],
        accuracy=log["accuracy"],
        val_accuracy=log["val_accuracy"],
        learning_rate=log["learning_rate"],
        steps=steps[is_step],
        step_loss=per_step[is_step],
        **known,
    )


def _merged(positions: np.ndarray, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One row for each position: training and validation of an epoch may be logged in rows of their own."""
    if len(np.unique(positions)) == len(positions):
        return positions, rows
    unique, inverse = np.unique(positions, return_inverse=True)
    merged = {}
    for key, values in rows.items():
        merged[key] = np.full(len(unique), np.nan)
        there = ~np.isnan(values)
        merged[key][inverse[there]] = values[there]
    return unique, merged


def _means_between(at: np.ndarray, values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Means of the values after each position's predecessor, up to it."""
    index = np.searchsorted(positions, at, side="left")
    inside = index < len(positions)
    sums = np.bincount(index[inside], values[inside], len(positions))
    counts = np.bincount(index[inside], minlength=len(positions))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _filled(values: np.ndarray) -> np.ndarray:
    """Each row with its own value, or the last one before it."""
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)

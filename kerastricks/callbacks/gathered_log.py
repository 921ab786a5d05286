"""The log of a training in progress, from what Keras tells its callbacks."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from kerastricks.doctor.columns import find_columns
from kerastricks.doctor.training_log import QUANTITIES, TrainingLog
from kerastricks.errors import UsageError


class GatheredLog:
    """Gathers the losses of steps and the quantities of epochs.

    Args:
        earlier: log of the epochs before, or None.
        first_epoch: index of the first epoch that is gathered.
        steps_per_epoch: batches of an epoch; None where it is not known before one has ended.
        known: fields of `TrainingLog`: classes, batch_size, optimizer, floor.
    """

    def __init__(
        self,
        earlier: TrainingLog | None = None,
        first_epoch: int = 0,
        steps_per_epoch: int | None = None,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        self.earlier = earlier
        self.first_epoch = first_epoch
        self.steps_per_epoch: float | None = steps_per_epoch
        self.known = dict(known or {})
        self._epochs: list[float] = []
        self._quantities: dict[str, list[float]] = {name: [] for name in QUANTITIES}
        self._losses = array("d")

    @property
    def steps(self) -> int:
        """How many losses were gathered."""
        return len(self._losses)

    @property
    def epoch(self) -> float:
        """The last epoch, from 1; 0 before the first has ended."""
        if self._epochs:
            return self._epochs[-1]
        return float(self.earlier.epochs[-1]) if self.earlier is not None and len(self.earlier.epochs) else 0.0

    def add_step(self, loss: float) -> None:
        """Add a loss; infinite for one that is not finite."""
        self._losses.append(loss if math.isfinite(loss) else math.inf)

    def add_epoch(self, epoch: int, logs: Mapping[str, Any], rate: float) -> bool:
        """Add the logs of an epoch; whether their losses are finite.

        Args:
            epoch: index, from 0.
            logs: of Keras, by any names that a log may have.
            rate: of learning, where the logs do not have it.
        """
        self._epochs.append(float(epoch + 1))
        if self.steps_per_epoch is None:
            self.steps_per_epoch = self.steps / (epoch + 1 - self.first_epoch)
        found = _quantities(logs, rate)
        for name, value in found.items():
            self._quantities[name].append(value)
        return math.inf not in (found["loss"], found["val_loss"])

    def whole(self) -> TrainingLog:
        """Everything so far."""
        arrays: dict[str, Any] = {name: np.array(values) for name, values in self._quantities.items()}
        own = replace(self._of_steps(), epochs=np.array(self._epochs), **arrays)
        return own if self.earlier is None else self._joined(own, ("epochs", *QUANTITIES, "steps", "step_loss"))

    def of_steps(self, rate: float) -> TrainingLog:
        """The steps without the epochs, which they are ahead of within one.

        Args:
            rate: of learning at present.
        """
        own = self._of_steps()
        if self.earlier is not None and len(self.earlier.steps):
            own = self._joined(own, ("steps", "step_loss"))
        return replace(own, learning_rate=np.array([*self._quantities["learning_rate"], rate]))

    def until(self, epoch: int) -> TrainingLog | None:
        """Everything up to the beginning of an epoch; None where that is nothing.

        Args:
            epoch: index, from 0.
        """
        return until(self.whole(), epoch) if self.epoch or self.steps else None

    def _of_steps(self) -> TrainingLog:
        losses = np.array(self._losses)
        steps = self._steps_before() + np.arange(1.0, len(losses) + 1)
        return TrainingLog(name="training", steps=steps, step_loss=losses, **self.known)

    def _steps_before(self) -> float:
        """Steps before the first one that was gathered."""
        if self.earlier is not None and len(self.earlier.steps):
            return float(self.earlier.steps[-1])
        return float(round(self.first_epoch * (self.steps_per_epoch or 0)))

    def _joined(self, own: TrainingLog, names: tuple[str, ...]) -> TrainingLog:
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(self.earlier, name), getattr(own, name)]) for name in names
        }
        return replace(own, **arrays)


def until(log: TrainingLog, epoch: int) -> TrainingLog | None:
    """A log up to the beginning of an epoch, and all of one that ends before; None where nothing is left.

    Args:
        log: any.
        epoch: index, from 0.
    """
    if not len(log.epochs) or log.epochs[-1] <= epoch:
        return log
    if epoch == 0:
        return None
    epochs = log.epochs <= epoch
    steps = log.steps <= round((log.steps_per_epoch or 0) * epoch)
    cut: dict[str, Any] = {name: getattr(log, name)[epochs] for name in ("epochs", *QUANTITIES)}
    return replace(log, **cut, steps=log.steps[steps], step_loss=log.step_loss[steps])


def _quantities(logs: Mapping[str, Any], rate: float) -> dict[str, float]:
    """The logs of an epoch by quantity: NaN for what is not there, infinite for a loss that is not finite."""
    try:
        names = find_columns(logs, None, "logs")
    except UsageError:  # there is no loss: nothing can be seen, which the diagnosis says
        names = {}
    found = dict.fromkeys(QUANTITIES, math.nan) | {"learning_rate": rate}
    for name in set(names) & set(QUANTITIES):
        value = float(logs[names[name]])
        found[name] = math.inf if "loss" in name and not math.isfinite(value) else value
    return found


def classes_of(model: keras.Model) -> int | None:
    """Number of classes of a plain classifier, one output of probabilities or logits with a cross-entropy; else None.

    Its logarithm is the loss of guessing, which no other loss has.
    """
    loss = getattr(model, "loss", None)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    name = name.lower().replace("_", "")
    try:
        shape = getattr(model, "classifier", model).output_shape
    except (AttributeError, ValueError, RuntimeError):  # a subclassed model has none before it is built
        return None
    known = isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[-1], int)
    if not known or "crossentropy" not in name or "focal" in name:
        return None
    if "binary" in name:
        return 2 if shape[-1] == 1 else None  # several are labels of their own
    return shape[-1] if shape[-1] > 1 else None


def smoothing_of(model: keras.Model) -> float:
    """Label smoothing of the loss, Keras's or ours."""
    loss = getattr(model, "loss", None)
    return float(getattr(loss, "label_smoothing", None) or getattr(loss, "smoothing", None) or 0.0)


def optimizer_name(optimizer: Any) -> str | None:
    """Name of an optimizer as a log has it, "adamw"; the first of several."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    optimizer = (getattr(optimizer, "optimizers", None) or [optimizer])[0]
    return type(optimizer).__name__.lower() if optimizer is not None else None

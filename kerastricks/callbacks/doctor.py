"""The doctor at a training's side: what its curves show, told as soon as it is sure."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import keras

from kerastricks.callbacks.gathered_log import GatheredLog, classes_of, optimizer_name, smoothing_of, until
from kerastricks.callbacks.logs import StepLoss, highest_rate
from kerastricks.doctor.diagnosis import Diagnosis, diagnose
from kerastricks.doctor.failure_rules import SUSTAINED, failures
from kerastricks.doctor.finding import KINDS, SURE, Finding
from kerastricks.doctor.training_log import TrainingLog, smoothing_floor
from kerastricks.errors import ConfigError, UnknownNameError

# Failures that a log shows. The other critical findings need the network's gradients.
STOPPING = ("nan", "diverged", "lr_much_too_high", "not_learning", "class_collapse")
AT_ONCE = ("nan", "diverged")  # they do not go away
IN_A_ROW = 3  # diagnoses
SHARE = 0.5  # of the epochs: before, a good training looks like one with too low a rate, and a late one like a dead one
# What the end of a training decides; before it, every training could go on.
OF_THE_END = frozenset({"stopped_early", "trained_too_long", "cannot_tell", "healthy", "lr_good"})
LOOK_STEPS = SUSTAINED  # a divergence is not seen before
_END = "at the end"
_GROWTH = 0.05  # of the steps so far, between two looks at the steps: their cost stays the same for each
_EPOCH_GROWTH = 0.02  # the same for whole diagnoses at the ends of epochs


class Doctor(keras.callbacks.Callback):
    """Diagnoses a training while it runs, says each finding once, and can stop a hopeless one.

    It works in anybody's `fit`, on every backend, and needs the losses only: those of all steps (a model's own
    `batch_loss`, or the differences of Keras's running mean), and the logs of the epochs, whatever their metrics are
    called. What a finding means is in `kerastricks.doctor`.

    A finding is said when it is sure:

    - NaN and divergence at once: a loss that is not finite at its step; divergence every 25 steps, later whenever the
      steps have grown by a twentieth, and at the end of each epoch;
    - any other with a confidence of 0.9 or more in three diagnoses in a row, after half of the epochs. A diagnosis is
      made at the end of each epoch; of a training with many short ones, whenever its steps have grown by a fiftieth;
    - what only the end can show, such as "healthy" and "stopped while it was still improving", when training ends,
      with all others of the last diagnosis.

    A step costs a few microseconds besides reading its loss. A second `fit` with a later `initial_epoch` is the same
    training, resumed; one that begins at an epoch that was seen already is a new one from there.

    Args:
        stop_on: codes of findings that stop the training when they are sure, by `model.stop_training`. Only those of a
            failed training: "nan", "diverged", "lr_much_too_high", "not_learning", "class_collapse". Overfitting is no
            failure: `keras.callbacks.EarlyStopping` keeps the best weights. In `kerastricks.training.fit` the
            stop is a `TrainingDivergedError`, as it is for every loss that is not finite.
        batch_size: images of a step, which Keras does not tell; None where it is not known.
        earlier: log of the epochs before the first one of the next `fit`, of a process that was interrupted; None
            again when that has begun.
        say: gets the lines.

    Attributes:
        stopped: the finding for which the last training was stopped; None for none.
        diagnosis: the last one; of the whole training after it. None before the first.
        loss: of the last step.

    Raises:
        UnknownNameError: for a code in `stop_on` that no finding has.
        ConfigError: for one that is no failure.

    Example:
        >>> import keras, numpy
        >>> from kerastricks.callbacks import Doctor
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(100.0), "mse")
        >>> x = numpy.ones((256, 2))
        >>> doctor = Doctor(stop_on={"nan", "diverged"}, say=lambda line: None)
        >>> history = model.fit(x, x[:, :1], batch_size=2, epochs=9, callbacks=[doctor], verbose=0)
        >>> doctor.stopped.code, len(history.epoch)
        ('nan', 1)
    """

    is_saved = False  # a checkpoint does not depend on who looks on; the folder of a run has the log

    def __init__(
        self,
        stop_on: Iterable[str] = (),
        *,
        batch_size: int | None = None,
        earlier: TrainingLog | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__()
        self.stop_on = frozenset((stop_on,) if isinstance(stop_on, str) else stop_on)
        for code in sorted(self.stop_on):
            if code not in KINDS:
                raise UnknownNameError("finding", code, KINDS)
            if code not in STOPPING:
                raise ConfigError(
                    f"stop_on must be findings of a failed training that a log shows: {', '.join(STOPPING)}. "
                    f"Received: {code!r}, a {KINDS[code].severity}"
                )
        self.batch_size = batch_size
        self.earlier = earlier
        self.say = say
        self.stopped: Finding | None = None
        self.diagnosis: Diagnosis | None = None
        self.loss = math.nan
        self._log = GatheredLog()
        self._step_loss = StepLoss()
        self._said: set[str] = set()
        self._streaks: Counter[str] = Counter()
        self._next_look: float = LOOK_STEPS
        self._next_diagnosis: float = 0
        self._rate = math.nan
        self._begins = True

    @property
    def failure(self) -> str | None:
        """The finding of `stopped` in a line; None without one."""
        return None if self.stopped is None else _in_words(self.stopped)

    @property
    def log(self) -> TrainingLog:
        """Everything that was gathered, `earlier` included."""
        return self._log.whole()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.stopped = None
        self._begins = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._begins:
            self._begins = False
            self._begin(epoch)
        # Within an epoch JAX has no values in the variables.
        self._rate = highest_rate(self.model.optimizer)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not logs or "loss" not in logs:
            return
        self.loss = self._step_loss.after(self.model, batch, logs)
        self._log.add_step(self.loss)
        if self._log.steps >= self._next_look or (not math.isfinite(self.loss) and "nan" not in self._said):
            self._look()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        finite = self._log.add_epoch(epoch, logs or {}, highest_rate(self.model.optimizer))
        if not finite or self._log.steps >= self._next_diagnosis or epoch + 1 >= self._planned:
            self._next_diagnosis = (1 + _EPOCH_GROWTH) * self._log.steps
            self._diagnose(epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._log.epoch or self._log.steps:
            self.diagnosis = diagnose(self.log)
            for one in self.diagnosis.findings:
                self._tell(one, _END)

    @property
    def _planned(self) -> int:
        """Epochs of the whole training; 0 where they are not known."""
        return int((self.params or {}).get("epochs") or 0)

    def _begin(self, epoch: int) -> None:
        """Begin a log, or continue the one of the `fit` before."""
        if self.earlier is not None:
            earlier, self.earlier = until(self.earlier, epoch), None
        elif self._log.epoch and epoch >= self._log.epoch:
            return
        else:
            earlier = self._log.until(epoch) if epoch else None
            self._said, self._streaks = set(), Counter()
        classes = classes_of(self.model)
        known = {
            "classes": classes,
            "floor": smoothing_floor(smoothing_of(self.model), classes or 0),
            "batch_size": self.batch_size,
            "optimizer": optimizer_name(self.model.optimizer),
        }
        self._log = GatheredLog(earlier, epoch, (self.params or {}).get("steps"), known)
        self._step_loss = StepLoss()
        self._next_look, self._next_diagnosis = LOOK_STEPS, 0

    def _look(self) -> None:
        """Look for failures that the steps show."""
        self._next_look = self._log.steps + max(LOOK_STEPS, _GROWTH * self._log.steps)
        log = self._log.of_steps(self._rate)
        found = next((one for one in failures(log) if one.code in AT_ONCE), None)
        if found is not None:
            self._tell(found, f"at step {log.steps[-1]:,.0f}")

    def _diagnose(self, epoch: int) -> None:
        self.diagnosis = diagnose(self.log)
        found = {one.code: one for one in self.diagnosis.findings if one.confidence >= SURE}
        self._streaks = Counter({code: self._streaks[code] + 1 for code in found})
        for code, one in found.items():
            sure = self._streaks[code] >= IN_A_ROW and epoch >= SHARE * self._planned and code not in OF_THE_END
            if sure or code in AT_ONCE:
                self._tell(one, f"at epoch {epoch} of {self._planned}" if self._planned else f"at epoch {epoch}")

    def _tell(self, one: Finding, when: str) -> None:
        """Say a finding that has not been said yet, and stop for it."""
        stops = one.code in self.stop_on and self.stopped is None and when != _END
        if stops:
            self.stopped = one
            self.model.stop_training = True
            self.diagnosis = diagnose(self.log)
        if one.code in self._said:
            return
        self._said.add(one.code)
        sure = "" if one.confidence >= 1 else f", {one.confidence:.0%} sure"
        self.say(f"doctor {when}: {one.title} ({one.severity}{sure}): {one.evidence}")
        if one.advice:
            self.say(f"  next: {one.advice}")
        if stops:
            self.say("  the training is stopped")


def _in_words(one: Finding) -> str:
    advice = f"; next: {one.advice}" if one.advice else ""
    return f"{one.title} ({one.code}): {one.evidence}{advice}"

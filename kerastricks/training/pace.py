"""Ends a training early with its learning rate fully decayed: at a deadline, or at saturation."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from rich.console import Console

_TOLERANCE = 0.05  # of the time that is left: estimates are no better
_SPARE = 0.03
_WORTH_MORE = 1.2  # times the steps that are left: a training that was cut gets them back
_LEAST_STEPS = 5  # of an epoch that is not over, before its speed is believed
_SECONDS_BETWEEN_LOOKS = 5.0
_FLAT_EPOCHS = 3  # without a better validation loss
_BETTER = 0.01  # of the loss: what counts as better
_TAIL = 0.25  # of the epochs before, over which the rate runs out; 3 epochs or more
_LEAST_TAIL_EPOCHS = 3


class PacedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose remainder can be compressed: it continues at its current rate and has the same end.

    The rate at a step s is that of `schedule` at `position + (s - turned_at) * factor`.

    Args:
        schedule: of the whole training.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self.schedule = schedule
        self.name = getattr(schedule, "name", "paced")
        # Variables: a compiled step reads them anew each time (JAX compiles another one, see Pace).
        made = {"trainable": False, "dtype": "float32", "autocast": False}
        self._turned_at = keras.Variable(0.0, name="turned_at", **made)
        self._position = keras.Variable(0.0, name="position", **made)
        self._factor = keras.Variable(1.0, name="factor", **made)

    def turn(self, turned_at: float, position: float, factor: float) -> None:
        """Sets position and speed from a step on."""
        for variable, value in zip(
            (self._turned_at, self._position, self._factor), (turned_at, position, factor), strict=True
        ):
            variable.assign(value)

    def __call__(self, step: Any) -> Any:
        since = ops.cast(step, "float32") - self._turned_at
        return self.schedule(self._position + since * self._factor)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": keras.saving.serialize_keras_object(self.schedule)}


class _Watch:
    """Seconds since it was last looked at. An object of its own, so that no checkpoint keeps the time of a clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self.is_warm = False  # the first step of a process compiles

    def lap(self) -> float:
        now = self._clock()
        took, self._last = now - self._last, now
        return took


class Pace(keras.callbacks.Callback):
    """Ends a training early with a decayed rate, by compressing the remainder of its schedule.

    In time: as soon as the steps that are left would take longer than the time that is left, at the speed of this
    epoch, fewer are made, whole epochs where one fits. What was cut is given back where the speed returns. When the
    time is over, the training is stopped wherever it is.

    Where nothing is left to learn: when the accuracy on training images has reached `saturation` and the validation
    loss has not become better by 1 % for three epochs, the training ends after a quarter of the epochs there were,
    three or more.

    All it knows is in plain attributes, the seconds that were used too: a resumed training ends as it would have.

    Args:
        total_steps: of the whole training.
        steps_per_epoch: training batches.
        seconds: of the wall, that training may take; None for as long as it takes.
        saturation: training accuracy in (0, 1]; None to train to the end.
        clock: in seconds.
        show: whether a line about an early end is shown on standard error.
    """

    def __init__(
        self,
        total_steps: int,
        steps_per_epoch: int,
        seconds: float | None = None,
        saturation: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        show: bool = True,
    ) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self.seconds = seconds
        self.saturation = saturation
        self.used_seconds = 0.0
        self.step = 0
        self.end_step = total_steps
        # Of the schedule: where it was when it was last turned, and its position there.
        self.turned_at = 0
        self.position = 0.0
        self.best_loss = math.inf
        self.flat_epochs = 0
        self.evaluation_seconds = 0.0
        self.saturated = False
        self.reason = ""
        self._schedules = _Followed()
        self._watch = _Watch(clock)
        self._show = _Shown(show)
        self._timed_steps = 0
        self._timed_seconds = 0.0
        self._looked_at = 0.0

    def follow(self, schedule: Any) -> Any:
        """Wraps a schedule so that it can be shortened; a plain rate is returned as it is."""
        if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            return schedule
        paced = PacedSchedule(schedule)
        self._schedules.all.append(paced)
        return paced

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._watch.lap()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._show.say(self)
        self._apply()  # a resumed training knows only from the attributes where it is
        self._timed_steps, self._timed_seconds = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        took = self._watch.lap()
        self.used_seconds += took
        self.step += 1
        if self._watch.is_warm:
            self._timed_steps += 1
            self._timed_seconds += took
        self._watch.is_warm = True
        if self.seconds is not None and self.used_seconds >= self.seconds:
            self._end(self.step, "the time is over")
        elif self.used_seconds - self._looked_at > _SECONDS_BETWEEN_LOOKS and self.step % self.steps_per_epoch:
            self._look()
        if self.step >= self.end_step < self.total_steps:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.evaluation_seconds = self._watch.lap()
        self.used_seconds += self.evaluation_seconds
        logs = logs or {}
        if self.saturation is not None:
            self._see(epoch + 1, float(logs["accuracy"]), float(logs["val_loss"]), self.saturation)
        self._look()
        if self.step >= self.end_step < self.total_steps:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._show.say(self)

    def _see(self, epoch: int, accuracy: float, loss: float, saturation: float) -> None:
        """Ends the training soon at saturation."""
        better = loss < self.best_loss * (1 - _BETTER)
        self.flat_epochs = 0 if better else self.flat_epochs + 1
        self.best_loss = min(self.best_loss, loss)
        if self.saturated or accuracy < saturation or self.flat_epochs < _FLAT_EPOCHS:
            return
        tail = max(_LEAST_TAIL_EPOCHS, round(_TAIL * epoch))
        end = self.step + tail * self.steps_per_epoch
        if end < self.end_step:
            self.saturated = True
            self._end(end, f"training accuracy {accuracy:.2%} and a validation loss that no longer falls")

    def _look(self) -> None:
        """Checks whether the remaining epochs fit the time; at the end of an epoch also whether more would."""
        here = -self.step % self.steps_per_epoch  # steps of this epoch that are left
        if self.seconds is None or self._timed_steps < (_LEAST_STEPS if here else 1):
            return
        self._looked_at = self.used_seconds
        step = self._timed_seconds / self._timed_steps
        epoch = self.steps_per_epoch * step + self.evaluation_seconds
        left, room = self.end_step - self.step, self.seconds - self.used_seconds
        needed = left * step + math.ceil(left / self.steps_per_epoch) * self.evaluation_seconds
        if left <= 0:
            return
        # Whole epochs after this one, or steps of this one where it does not fit.
        rest = room * (1 - _SPARE) - (here * step + self.evaluation_seconds if here else 0.0)
        steps = here + math.floor(rest / epoch) * self.steps_per_epoch
        if rest < 0 or steps == 0:
            steps = max(math.floor((room * (1 - _SPARE) - self.evaluation_seconds) / max(step, 1e-9)), 1)
        if needed > room * (1 + _TOLERANCE):
            self._end(self.step + steps, "the epochs take longer than expected")
        elif not here and not self.saturated and steps > left * _WORTH_MORE and self.end_step < self.total_steps:
            self._turn(min(self.step + steps, self.total_steps), "the epochs take less time again")

    def _end(self, end_step: int, reason: str) -> None:
        """Compresses the schedule to end at that step, or at its own end if that is earlier."""
        if end_step < self.end_step:
            self._turn(end_step, reason)

    def _turn(self, end_step: int, reason: str) -> None:
        self.position += (self.step - self.turned_at) * self._factor()
        self.turned_at, self.end_step, self.reason = self.step, end_step, reason
        self._show.pending = True
        self._apply()

    def _factor(self) -> float:
        return (self.total_steps - self.position) / max(self.end_step - self.turned_at, 1)

    def _apply(self) -> None:
        if not self.turned_at:
            return
        # The line of progress, and averages that begin at a fraction of the epochs, go by this.
        self.params["epochs"] = math.ceil(self.end_step / self.steps_per_epoch)
        turn = (float(self.turned_at), self.position, self._factor())
        if self._schedules.turn == turn:
            return
        self._schedules.turn = turn
        for schedule in self._schedules.all:
            schedule.turn(*turn)
        if self._schedules.all and keras.backend.backend() == "jax":
            self.model.make_train_function(force=True)  # a compiled step took the variables for constants


class _Followed:
    """The schedules and their changes in this process; not part of a checkpoint."""

    def __init__(self) -> None:
        self.all: list[PacedSchedule] = []
        self.turn: tuple[float, float, float] | None = None


class _Shown:
    """Prints the reason of each change once, unless a live line is shown."""

    def __init__(self, show: bool) -> None:
        self.pending = False
        self._show = show

    def say(self, pace: Pace) -> None:
        if not (self.pending and self._show):
            return
        self.pending = False
        epochs = pace.end_step / pace.steps_per_epoch
        Console(stderr=True, highlight=False, markup=False).print(
            f"{pace.reason}: the rate runs out over what is left, {epochs:.3g} of "
            f"{pace.total_steps // pace.steps_per_epoch} epochs in all",
            soft_wrap=True,
        )

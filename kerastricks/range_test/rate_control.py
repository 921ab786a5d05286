"""Control of the learning rate of any optimizer, step by step; its own is restored."""

import math
from typing import Any

import keras
from keras import ops

from kerastricks.errors import UsageError
from kerastricks.keras_graph import own_learning_rate, step_counter

_LOOKAHEAD_STEPS = (0, 1, 10, 100, 1_000, 10_000, 100_000)  # a schedule with warm-up may begin at 0


class RateControl:
    """The learning rates of a compiled model: one, or several in the ratio they have.

    A rate that is a number is a variable of the optimizer and is assigned. A schedule is compiled into the training
    step: it is set aside with the step, and both are restored as the objects they were.

    Args:
        model: compiled, its optimizer built.
        low: rate of the first step, of the optimizer with the highest rate.
        high: rate of the last step.
        steps: from one to the other.
    """

    def __init__(self, model: keras.Model, low: float, high: float, steps: int) -> None:
        self.model = model
        self._optimizers = leaves(model.optimizer)
        self._own = [own_learning_rate(optimizer) for optimizer in self._optimizers]
        peaks = [_peak(optimizer) for optimizer in self._optimizers]
        if not max(peaks) > 0:
            raise UsageError(
                "the optimizer's learning rate must be above 0, so that ratios of several can be kept: "
                f"compile with one that is. Received: {peaks[0] if len(peaks) == 1 else peaks}"
            )
        self._factors = [peak / max(peaks) for peak in peaks]
        self._first = [int(ops.convert_to_numpy(step_counter(optimizer))) for optimizer in self._optimizers]
        self._train_function, self._train_step = model.train_function, vars(model).get("train_step")
        self._growth = math.log(high / low) / max(steps - 1, 1)
        self._low = low
        self.replaces_schedules = any(not isinstance(own, keras.Variable) for own in self._own)

    def begin(self) -> None:
        """Sets schedules aside."""
        if not self.replaces_schedules:
            return
        for optimizer, own, factor, first in zip(self._optimizers, self._own, self._factors, self._first, strict=True):
            if not isinstance(own, keras.Variable):
                optimizer.learning_rate = _Rising(self._low * factor, self._growth, first)
        # The compiled step holds the schedule. JAX also finds what it compiled again by the function, bound or not.
        step = self.model.train_step
        self.model.train_step = lambda *arguments: step(*arguments)
        self.model.train_function = None

    def set(self, step: int) -> None:
        """Sets the rate of a step, counted from 0."""
        rate = self._low * math.exp(self._growth * step)
        for optimizer, own, factor, first in zip(self._optimizers, self._own, self._factors, self._first, strict=True):
            if isinstance(own, keras.Variable):
                own.assign(rate * factor)
            else:  # loss scaling does not count the steps it leaves out
                step_counter(optimizer).assign(first + step)

    def end(self) -> None:
        """Restores schedules and the compiled step; values of variables are restored with the others."""
        if not self.replaces_schedules:
            return
        for optimizer, own in zip(self._optimizers, self._own, strict=True):
            if not isinstance(own, keras.Variable):
                optimizer.learning_rate = own
        del self.model.train_step
        if self._train_step is not None:
            self.model.train_step = self._train_step
        self.model.train_function = self._train_function


class _Rising(keras.optimizers.schedules.LearningRateSchedule):
    """low exp(growth (step - first)): a function of the step only, so that it can be compiled on every backend."""

    def __init__(self, low: float, growth: float, first: int) -> None:
        self.low = low
        self.growth = growth
        self.first = first

    def __call__(self, step: Any) -> Any:
        return self.low * ops.exp(self.growth * ops.cast(step - self.first, "float32"))

    def get_config(self) -> dict[str, Any]:
        return {"low": self.low, "growth": self.growth, "first": self.first}


def leaves(optimizer: Any) -> list[Any]:
    """The optimizers that have a rate: those inside of MultiOptimizer and LossScaleOptimizer, or the one given."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return leaves(optimizer.inner_optimizer)
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return [leaf for inner in optimizer.optimizers for leaf in leaves(inner)]
    return [optimizer]


def _peak(optimizer: Any) -> float:
    """The rate, or the highest one of a schedule at a few steps."""
    own = own_learning_rate(optimizer)
    if isinstance(own, keras.optimizers.schedules.LearningRateSchedule):
        first = int(ops.convert_to_numpy(step_counter(optimizer)))
        return max(float(ops.convert_to_numpy(own(first + step))) for step in _LOOKAHEAD_STEPS)
    return float(ops.convert_to_numpy(optimizer.learning_rate))

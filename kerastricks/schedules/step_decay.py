"""Divides the rate at fixed steps."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def step_decay(
    step: Any,
    peak: float,
    boundaries: Sequence[int] = (),
    every_steps: int | None = None,
    factor: float = 2.0,
) -> Any:
    """The learning rate at `step` that is divided by `factor` at each boundary, or after every so many steps.

    rate(t) = peak / factor^k,   k = the number of boundaries <= t,   or k = floor(t / every_steps)

    Args:
        step: integers or floats, a scalar or an array.
        peak: the first learning rate.
        boundaries: the first steps of the lower rates; without `every_steps`.
        every_steps: steps of each rate; without `boundaries`.
        factor: that the rate is divided by.

    Returns:
        float32 of the shape of `step`.

    Example:
        >>> import kerastricks
        >>> [float(rate) for rate in kerastricks.schedules.step_decay([0, 49, 50, 80], 1.0, (50, 75))]
        [1.0, 1.0, 0.5, 0.25]
    """
    step = ops.cast(step, "float32")
    if every_steps is not None:
        count = ops.floor(step / every_steps)
    else:
        count = ops.zeros_like(step)
        for boundary in boundaries:
            count = count + ops.cast(step >= boundary, "float32")
    return peak * ops.power(1.0 / factor, count)


@keras.saving.register_keras_serializable(package="kerastricks")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate stays, and is divided by `factor` at fixed steps.

    `step_decay` has the formula. The oldest schedule, easy to read in a curve: the loss falls in stairs. It hurts where
    the steps are not those of your data: cosine and linear need no such choice.

    Args:
        peak: the first learning rate.
        boundaries: the first steps of the lower rates, rising; without `every_steps`.
        every_steps: steps of each rate; without `boundaries`.
        factor: that the rate is divided by, above 1: 2 or 5.
        name: of the schedule.

    Call arguments:
        step: integers, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: unless just one of boundaries and every_steps is given, in order, and factor is above 1.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.StepDecay(1.0, boundaries=(50, 75), factor=5)
        >>> round(float(rate(49)), 3), round(float(rate(50)), 3), round(float(rate(75)), 3)
        (1.0, 0.2, 0.04)

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks (divide by 2 or 5); Zagoruyko, Komodakis, arXiv 1605.07146,
        section 3 (by 5 at 0.3, 0.6 and 0.8 of the training). Keras's `PiecewiseConstantDecay` changes one step after
        each of its boundaries.
    """

    def __init__(
        self,
        peak: float,
        boundaries: Sequence[int] = (),
        every_steps: int | None = None,
        factor: float = 2.0,
        name: str = "step_decay",
    ) -> None:
        boundaries = list(boundaries)
        if bool(boundaries) == (every_steps is not None):
            raise ValueError(
                "either boundaries or every_steps says where the rate changes. "
                f"Received: boundaries={boundaries}, every_steps={every_steps}"
            )
        if boundaries != sorted(boundaries):
            raise ValueError(f"boundaries must be in order. Received: boundaries={boundaries}")
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"every_steps must be 1 or more. Received: every_steps={every_steps}")
        if not factor > 1:
            raise ValueError(f"factor is what the rate is divided by, above 1. Received: factor={factor}")
        self.peak = peak
        self.boundaries = boundaries
        self.every_steps = every_steps
        self.factor = factor
        self.name = name

    def __call__(self, step: Any) -> Any:
        return step_decay(step, self.peak, self.boundaries, self.every_steps, self.factor)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "boundaries": self.boundaries,
            "every_steps": self.every_steps,
            "factor": self.factor,
            "name": self.name,
        }

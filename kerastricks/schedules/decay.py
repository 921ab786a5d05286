"""Cosine annealing that starts again: a snapshot at the end of each cycle.

Divides the rate at fixed steps.
The inverse square root of the steps.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import keras
from keras import ops


def cycle_ends(total_steps: int, cycles: int, t_mul: float = 1.0) -> list[int]:
    """The numbers of steps after which the cycles are over: where snapshots are taken; the last is `total_steps`.

    Args:
        total_steps: optimizer steps of all cycles.
        cycles: how many.
        t_mul: how many times as long as the one before a cycle is.
    """
    # Exact: a sum that is rounded up would be a step late.
    lengths = [Fraction(t_mul).limit_denominator(10_000) ** index for index in range(cycles)]
    return [math.ceil(total_steps * sum(lengths[: count + 1]) / sum(lengths)) for count in range(cycles)]


@keras.saving.register_keras_serializable(package="kerastricks")
class CosineRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate falls from `peak` along half a cosine, and starts again, `cycles` times in `total_steps`.

    rate(t) = peak (final + (1 - final) (1 + cos(pi (t - b) / (e - b))) / 2),   b <= t < e the cycle that t is in

    `cycle_ends` has the steps at which a cycle is over. Each cycle ends in a model of its own, which together make a
    snapshot ensemble for the price of one training. It hurts where only the last model counts: the last cycle has a
    fraction of the steps, and one long cosine ends lower.

    Args:
        peak: the learning rate at the start of each cycle.
        total_steps: optimizer steps of all cycles; after them the rate stays at the lowest.
        cycles: how many, at most `total_steps`.
        t_mul: how many times as long as the one before a cycle is, above 0.
        final_rate: where a cycle ends, as a fraction of the peak.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: for cycles of less than a step each.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.CosineRestarts(0.1, total_steps=100, cycles=5)
        >>> round(float(rate(10)), 4), round(float(rate(20)), 4)
        (0.05, 0.1)

    Reference:
        Huang et al.: Snapshot Ensembles, arXiv 1704.00109, equation 2 (equal cycles); Loshchilov, Hutter: SGDR,
        arXiv 1608.03983, equation 5 (t_mul). Deviations: where the steps cannot be divided, cycles differ by one step,
        and each has its end, where the paper cuts the last one off; every step sees the rate, as in SGDR. Keras's
        `CosineDecayRestarts` counts steps of the first cycle, has no end, and takes a logarithm to find the cycle: at
        t_mul = 1.3 and 100 steps the restart at step 230 comes a step late.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        cycles: int = 5,
        t_mul: float = 1.0,
        final_rate: float = 0.0,
        name: str = "cosine_restarts",
    ) -> None:
        if not t_mul > 0:
            raise ValueError(f"t_mul must be above 0. Received: t_mul={t_mul}")
        ends = [0, *cycle_ends(total_steps, cycles, t_mul)] if cycles >= 1 else []
        if len(set(ends)) < cycles + 1:
            raise ValueError(
                "each cycle needs a step of its own: fewer cycles, or a t_mul nearer to 1. "
                f"Received: total_steps={total_steps}, cycles={cycles}, t_mul={t_mul}"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.cycles = cycles
        self.t_mul = t_mul
        self.final_rate = final_rate
        self.name = name

    def __call__(self, step: Any) -> Any:
        ends = cycle_ends(self.total_steps, self.cycles, self.t_mul)
        step = ops.cast(step, "float32")
        begin, end = ops.zeros_like(step), ops.full_like(step, ends[0])
        for low, high in pairwise(ends):
            begin = ops.where(step >= low, float(low), begin)
            end = ops.where(step >= low, float(high), end)
        progress = ops.clip((step - begin) / (end - begin), 0.0, 1.0)
        return self.peak * (self.final_rate + (1.0 - self.final_rate) * (0.5 + 0.5 * ops.cos(math.pi * progress)))

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "cycles": self.cycles,
            "t_mul": self.t_mul,
            "final_rate": self.final_rate,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="kerastricks")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate stays, and is divided by `factor` at fixed steps.

    rate(t) = peak / factor^k,   k = the number of boundaries <= t,   or k = floor(t / every_steps)

    The oldest schedule, easy to read in a curve: the loss falls in stairs. It hurts where the steps are not those of
    your data: cosine and linear need no such choice.

    Args:
        peak: the first learning rate.
        boundaries: the first steps of the lower rates, rising; without `every_steps`.
        every_steps: steps of each rate; without `boundaries`.
        factor: that the rate is divided by, above 1: 2 or 5.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

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
        step = ops.cast(step, "float32")
        if self.every_steps is not None:
            count = ops.floor(step / self.every_steps)
        else:
            count = ops.zeros_like(step)
            for boundary in self.boundaries:
                count = count + ops.cast(step >= boundary, "float32")
        return self.peak * ops.power(1.0 / self.factor, count)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "boundaries": self.boundaries,
            "every_steps": self.every_steps,
            "factor": self.factor,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="kerastricks")
class InverseSqrt(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate rises linearly to `peak`, then falls as 1 / sqrt(steps), without an end.

    rate(t) = peak min(n / warmup, sqrt(warmup / n)),   n = t + 1

    Nothing has to be known of the length of the training: transformers with Adam are the home of it. It hurts at the
    end of a training of fixed length, where the rate is still high: linear or cosine end lower.

    Args:
        peak: the highest learning rate.
        warmup_steps: steps of the rise, 1 or more.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: for warmup_steps below 1.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.InverseSqrt(0.1, warmup_steps=10)
        >>> round(float(rate(9)), 3), round(float(rate(39)), 3)
        (0.1, 0.05)

    Reference:
        Vaswani et al.: Attention Is All You Need, arXiv 1706.03762, equation 3: d^-0.5 min(n^-0.5, n warmup^-1.5),
        which is this with peak = (d warmup)^-0.5. Steps are counted from 0, the paper's n from 1.
    """

    def __init__(self, peak: float, warmup_steps: int, name: str = "inverse_sqrt") -> None:
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps must be 1 or more. Received: warmup_steps={warmup_steps}")
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.name = name

    def __call__(self, step: Any) -> Any:
        count = ops.cast(step, "float32") + 1.0
        return self.peak * ops.minimum(count / self.warmup_steps, ops.sqrt(self.warmup_steps / count))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "name": self.name}

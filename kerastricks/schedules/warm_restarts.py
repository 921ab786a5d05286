"""Cosine annealing with warm restarts (SGDR), and the steps at which its cycles end."""

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import keras
from keras import ops

from kerastricks.schedules.former_names import renamed


def cycle_ends(total_steps: int, cycles: int, t_mul: float = 1.0) -> list[int]:
    """Numbers of steps after which the cycles are over, where snapshots are taken; the last is `total_steps`.

    Args:
        total_steps: optimizer steps of all cycles.
        cycles: number of cycles.
        t_mul: length of a cycle over that of the one before.
    """
    # Exact: a sum that is rounded up would be a step late.
    lengths = [Fraction(t_mul).limit_denominator(10_000) ** index for index in range(cycles)]
    return [math.ceil(total_steps * sum(lengths[: count + 1]) / sum(lengths)) for count in range(cycles)]


@keras.saving.register_keras_serializable(package="kerastricks")
@renamed(final_rate="final_fraction")
class CosineRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """Lowers the learning rate from `peak` along half a cosine, `cycles` times in `total_steps`, with warm restarts.

    rate(t) = peak (final + (1 - final) (1 + cos(pi (t - b) / (e - b))) / 2),   b <= t < e the cycle that t is in

    `cycle_ends` has the steps at which a cycle is over. Each cycle ends in a model of its own, which together make a
    snapshot ensemble for the price of one training. It hurts where only the last model counts: the last cycle has a
    fraction of the steps, and one long cosine ends lower.

    Args:
        peak: the learning rate at the start of each cycle.
        total_steps: optimizer steps of all cycles; after them the rate stays at the lowest.
        cycles: how many, at most `total_steps`.
        t_mul: length of a cycle over that of the one before, above 0.
        final_fraction: where a cycle ends, as a fraction of the peak.
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
        final_fraction: float = 0.0,
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
        self.final_fraction = final_fraction
        self.name = name

    def __call__(self, step: Any) -> Any:
        ends = cycle_ends(self.total_steps, self.cycles, self.t_mul)
        step = ops.cast(step, "float32")
        begin, end = ops.zeros_like(step), ops.full_like(step, ends[0])
        for low, high in pairwise(ends):
            begin = ops.where(step >= low, float(low), begin)
            end = ops.where(step >= low, float(high), end)
        progress = ops.clip((step - begin) / (end - begin), 0.0, 1.0)
        return self.peak * (
            self.final_fraction + (1.0 - self.final_fraction) * (0.5 + 0.5 * ops.cos(math.pi * progress))
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "cycles": self.cycles,
            "t_mul": self.t_mul,
            "final_fraction": self.final_fraction,
            "name": self.name,
        }

"""Decay without cycles: linear after a warm-up, by stairs, and by the inverse square root of the steps."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerastricks.schedules.former_names import renamed


@keras.saving.register_keras_serializable(package="kerastricks")
@renamed("WarmupLinear", final_rate="final_fraction")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Raises the learning rate linearly from `peak / 25` to `peak`, then lowers it linearly to `peak * final_fraction`.

    rate(t) = peak (1/25 + (1 - 1/25) t / warmup)                              for t < warmup
    rate(t) = peak (1 - (1 - final) (t - warmup) / (total - warmup))           up to total, then constant

    The default of this package: nothing but the length and the peak has to be chosen. It hurts where the training may
    be stopped early, while the rate is still high.

    Args:
        peak: the highest learning rate.
        total_steps: optimizer steps of the whole training.
        warmup_steps: steps until the peak; 0 starts there.
        final_fraction: the last learning rate as a fraction of the peak.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: unless 0 <= warmup_steps < total_steps.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.LinearDecay(0.1, total_steps=100, warmup_steps=20)
        >>> round(float(rate(20)), 6), round(float(rate(100)), 6)
        (0.1, 0.0)

    Reference:
        Goyal et al., arXiv 1706.02677, section 2.2 (warm-up); Li, Yumer, Ramanan: Budgeted Training,
        arXiv 1905.04753 (linear decay). Deviation: the warm-up starts at 1/25 of the peak, as one-cycle does.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        final_fraction: float = 0.0,
        name: str = "linear_decay",
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "warmup_steps must be at least 0 and below total_steps. "
                f"Received: warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.final_fraction = final_fraction
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rising = 1 / 25 + (1 - 1 / 25) * step / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        falling = 1.0 - (1.0 - self.final_fraction) * ops.clip(progress, 0.0, 1.0)
        return self.peak * ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "final_fraction": self.final_fraction,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="kerastricks")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Keeps the learning rate, and divides it by `factor` at fixed steps.

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
    """Raises the learning rate linearly to `peak`, then lowers it as 1 / sqrt(steps), without an end.

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

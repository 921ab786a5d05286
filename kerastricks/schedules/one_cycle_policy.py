"""The one-cycle policy: one rise, one fall, almost to zero."""

import math
from typing import Any

import keras
from keras import ops

from kerastricks.schedules.former_names import renamed


@keras.saving.register_keras_serializable(package="kerastricks")
@renamed(start_rate="start_fraction", final_rate="final_fraction")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Raises the learning rate from a 25th of `peak` to `peak`, and lowers it to a 10,000th, along half cosines.

    rate(t) = peak (start + (1 - start) (1 - cos(pi t / warmup)) / 2)                    for t < warmup
    rate(t) = peak (final + (1 - final) (1 + cos(pi (t - warmup) / (total - warmup))) / 2)   up to total, then stays

    The long time at high rates regularises and the end at almost none settles: short trainings gain most. It hurts
    where training may be continued, since the rate is spent, and a peak that is too high for a network without
    normalisation diverges in the middle: find it by a range test.

    Args:
        peak: the highest learning rate.
        total_steps: optimizer steps of the whole training.
        warmup_steps: steps until the peak; 0 starts there.
        start_fraction: the first learning rate as a fraction of the peak.
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
        >>> rate = kerastricks.schedules.OneCycle(0.1, total_steps=100, warmup_steps=30)
        >>> round(float(rate(0)), 6), round(float(rate(30)), 6), round(float(rate(100)), 6)
        (0.004, 0.1, 1e-05)

    Reference:
        Smith: A disciplined approach to neural network hyper-parameters, arXiv 1803.09820, section 4. The shape is that
        of fastai's `fit_one_cycle` and torch's `OneCycleLR`, whose form is the one in use. Deviations: the paper has
        two straight lines of one length and a short third one far below the start; momentum is not cycled. With
        `final_fraction=1e-5` and a peak at a quarter of the steps it is fastai's, step by step, to 2e-7 of the peak.
        torch ends at peak / 2.5e5, and counts so that the last of N steps has the lowest rate: that is one step later
        here, and in fastai.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int,
        start_fraction: float = 1 / 25,
        final_fraction: float = 1e-4,
        name: str = "one_cycle",
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "warmup_steps must be at least 0 and below total_steps. "
                f"Received: warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.start_fraction = start_fraction
        self.final_fraction = final_fraction
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        up = 0.5 - 0.5 * ops.cos(math.pi * ops.clip(step / max(self.warmup_steps, 1), 0.0, 1.0))
        down = 0.5 + 0.5 * ops.cos(
            math.pi * ops.clip((step - self.warmup_steps) / (self.total_steps - self.warmup_steps), 0.0, 1.0)
        )
        rising = self.start_fraction + (1.0 - self.start_fraction) * up
        falling = self.final_fraction + (1.0 - self.final_fraction) * down
        return self.peak * ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "start_fraction": self.start_fraction,
            "final_fraction": self.final_fraction,
            "name": self.name,
        }

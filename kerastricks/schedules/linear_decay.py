"""Linear warm-up, then linear decay."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerastricks")
class WarmupLinear(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate rises linearly from `peak / 25` to `peak`, then falls linearly to `peak * final_rate`.

    rate(t) = peak (1/25 + (1 - 1/25) t / warmup)                              for t < warmup
    rate(t) = peak (1 - (1 - final) (t - warmup) / (total - warmup))           up to total, then constant

    The default of this package: nothing but the length and the peak has to be chosen. It hurts where the training may
    be stopped early, while the rate is still high.

    Args:
        peak: the highest learning rate.
        total_steps: optimizer steps of the whole training.
        warmup_steps: steps until the peak; 0 starts there.
        final_rate: the last learning rate as a fraction of the peak.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: unless 0 <= warmup_steps < total_steps.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.WarmupLinear(0.1, total_steps=100, warmup_steps=20)
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
        final_rate: float = 0.0,
        name: str = "warmup_linear",
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "warmup_steps must be at least 0 and below total_steps. "
                f"Received: warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.final_rate = final_rate
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rising = 1 / 25 + (1 - 1 / 25) * step / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        falling = 1.0 - (1.0 - self.final_rate) * ops.clip(progress, 0.0, 1.0)
        return self.peak * ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "final_rate": self.final_rate,
            "name": self.name,
        }

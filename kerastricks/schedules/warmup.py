"""Linear warm-up in front of any schedule."""

from typing import Any

import keras
from keras import ops

from kerastricks.schedules.former_names import renamed


@keras.saving.register_keras_serializable(package="kerastricks")
@renamed("LinearWarmup", start_rate="start_fraction")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Multiplies the learning rate of another schedule by a line from `start_fraction` to 1 in the first steps.

    rate(t) = (start + (1 - start) min(t / warmup, 1)) schedule(t)

    The first gradients are large and disagree: a low rate keeps them from throwing the weights far away, which large
    batches need most. It hurts little: a few steps at a low rate.

    Args:
        schedule: a Keras schedule, or a rate that stays.
        warmup_steps: steps until the schedule's own rate, 1 or more.
        start_fraction: the first learning rate as a fraction of the schedule's.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: for warmup_steps below 1 or a start_fraction outside [0, 1].

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.Warmup(0.5, warmup_steps=10, start_fraction=0.1)
        >>> round(float(rate(0)), 3), round(float(rate(5)), 3), round(float(rate(10)), 3)
        (0.05, 0.275, 0.5)

    Reference:
        Goyal et al., arXiv 1706.02677, section 2.2, gradual warm-up. As there, the warm-up does not delay the wrapped
        schedule: its rate at step 1,000 stays that of step 1,000. Deviation: it starts at 1/25 unless told otherwise,
        as one-cycle does; the paper starts at the rate before scaling.
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule | float,
        warmup_steps: int,
        start_fraction: float = 1 / 25,
        name: str = "warmup",
    ) -> None:
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps must be 1 or more. Received: warmup_steps={warmup_steps}")
        if not 0 <= start_fraction <= 1:
            raise ValueError(
                f"start_fraction must be in [0, 1], of the schedule's rate. Received: start_fraction={start_fraction}"
            )
        self.schedule = schedule
        self.warmup_steps = warmup_steps
        self.start_fraction = start_fraction
        self.name = name

    def __call__(self, step: Any) -> Any:
        rate = self.schedule(step) if callable(self.schedule) else self.schedule
        progress = ops.clip(ops.cast(step, "float32") / max(self.warmup_steps, 1), 0.0, 1.0)
        return (self.start_fraction + (1.0 - self.start_fraction) * progress) * rate

    def get_config(self) -> dict[str, Any]:
        schedule = self.schedule
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            schedule = keras.optimizers.schedules.serialize(schedule)
        return {
            "schedule": schedule,
            "warmup_steps": self.warmup_steps,
            "start_fraction": self.start_fraction,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Warmup":
        config = dict(config)
        if isinstance(config["schedule"], dict):
            config["schedule"] = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(**config)

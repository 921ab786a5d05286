"""The inverse square root of the steps."""

from typing import Any

import keras
from keras import ops


def inverse_sqrt(step: Any, peak: float, warmup_steps: int) -> Any:
    """The learning rate at `step` that rises in a straight line and then falls with one over the root of the steps.

    rate(t) = peak min(n / warmup, sqrt(warmup / n)),   n = t + 1

    Args:
        step: integers or floats, a scalar or an array.
        peak: the highest learning rate, that of step warmup - 1.
        warmup_steps: steps of the rise, 1 or more.

    Returns:
        float32 of the shape of `step`.

    Example:
        >>> import kerastricks
        >>> [round(float(rate), 3) for rate in kerastricks.schedules.inverse_sqrt([0, 9, 39, 999], 0.1, 10)]
        [0.01, 0.1, 0.05, 0.01]
    """
    count = ops.cast(step, "float32") + 1.0
    return peak * ops.minimum(count / warmup_steps, ops.sqrt(warmup_steps / count))


@keras.saving.register_keras_serializable(package="kerastricks")
class InverseSqrt(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate rises linearly to `peak`, then falls as 1 / sqrt(steps), without an end.

    `inverse_sqrt` has the formula. Nothing has to be known of the length of the training: transformers with Adam are
    the home of it. It hurts at the end of a training of fixed length, where the rate is still high: linear or cosine
    end lower.

    Args:
        peak: the highest learning rate.
        warmup_steps: steps of the rise, 1 or more.
        name: of the schedule.

    Call arguments:
        step: integers, a scalar or an array.

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
        return inverse_sqrt(step, self.peak, self.warmup_steps)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "name": self.name}

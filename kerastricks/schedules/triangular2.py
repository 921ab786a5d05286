"""Triangles, each half as high as the one before."""

from typing import Any

import keras
from keras import ops

from kerastricks.schedules.cyclical import check_cycle, cycle, triangle


def triangular2(
    step: Any, peak: float, half_cycle_steps: float, start_rate: float = 0.25, scale_mode: str = "cycle"
) -> Any:
    """The "triangular2" learning rate at `step`: triangles whose height halves after each cycle.

    rate(t) = low + (peak - low) max(0, 1 - |t / s - 2 c + 1|) / 2^(c - 1),   c = floor(1 + t / 2 s),   low = peak start

    Args:
        step: integers or floats, a scalar or an array.
        peak: the highest learning rate.
        half_cycle_steps: s, from the lowest rate to the highest.
        start_rate: the lowest learning rate as a fraction of the peak.
        scale_mode: "cycle", or "iterations" for tensorflow-addons' 1 / 2^(t - 1).

    Returns:
        float32 of the shape of `step`.

    Example:
        >>> import kerastricks
        >>> [round(float(rate), 3) for rate in kerastricks.schedules.triangular2([0, 10, 20, 30, 50], 0.4, 10)]
        [0.1, 0.4, 0.1, 0.25, 0.175]
    """
    count = cycle(step, half_cycle_steps) if scale_mode == "cycle" else ops.cast(step, "float32")
    height = ops.power(2.0, 1.0 - count)
    return peak * (start_rate + (1.0 - start_rate) * triangle(step, half_cycle_steps) * height)


@keras.saving.register_keras_serializable(package="kerastricks")
class Triangular2(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate goes in triangles over `peak * start_rate`, the next one half as high as the last.

    `triangular2` has the formula. As `Triangular`, and it settles; it hurts where the first cycles are too short to get
    anywhere, since all later ones are lower.

    Args:
        peak: the highest learning rate.
        half_cycle_steps: from the lowest rate to the highest.
        start_rate: the lowest learning rate as a fraction of the peak.
        scale_mode: "cycle" halves after each cycle; "iterations", which tensorflow-addons also takes, after each step.
        name: of the schedule.

    Call arguments:
        step: integers, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: for half cycles that are not above 0, a start_rate outside [0, 1], or an unknown scale_mode.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.Triangular2(0.4, half_cycle_steps=10)
        >>> round(float(rate(10)), 3), round(float(rate(30)), 3), round(float(rate(50)), 3)
        (0.4, 0.25, 0.175)

    Reference:
        Smith: Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section 3.1. The values are those
        of `Triangular2CyclicalLearningRate` of tensorflow-addons with initial_learning_rate = peak * start_rate.
    """

    def __init__(
        self,
        peak: float,
        half_cycle_steps: float,
        start_rate: float = 0.25,
        scale_mode: str = "cycle",
        name: str = "triangular2",
    ) -> None:
        check_cycle(half_cycle_steps, start_rate, scale_mode)
        self.peak = peak
        self.half_cycle_steps = half_cycle_steps
        self.start_rate = start_rate
        self.scale_mode = scale_mode
        self.name = name

    def __call__(self, step: Any) -> Any:
        return triangular2(step, self.peak, self.half_cycle_steps, self.start_rate, self.scale_mode)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "half_cycle_steps": self.half_cycle_steps,
            "start_rate": self.start_rate,
            "scale_mode": self.scale_mode,
            "name": self.name,
        }

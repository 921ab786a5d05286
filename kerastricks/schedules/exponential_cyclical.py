"""Triangles under a falling exponential."""

from typing import Any

import keras
from keras import ops

from kerastricks.schedules.cyclical import check_cycle, cycle, triangle


def exponential_cyclical(
    step: Any,
    peak: float,
    half_cycle_steps: float,
    start_rate: float = 0.25,
    gamma: float = 1.0,
    scale_mode: str = "iterations",
) -> Any:
    """The "exp_range" learning rate at `step`: triangles whose height is multiplied by `gamma` at each step.

    rate(t) = low + (peak - low) max(0, 1 - |t / s - 2 c + 1|) gamma^t,   c = floor(1 + t / 2 s),   low = peak start

    Args:
        step: integers or floats, a scalar or an array.
        peak: what the highest learning rate is without `gamma`.
        half_cycle_steps: s, from the lowest rate to the highest.
        start_rate: the lowest learning rate as a fraction of the peak.
        gamma: of the height, per step.
        scale_mode: "iterations", or "cycle" for tensorflow-addons' gamma^c.

    Returns:
        float32 of the shape of `step`.

    Example:
        >>> import kerastricks
        >>> rates = kerastricks.schedules.exponential_cyclical([0, 10, 20, 30], 0.4, 10, gamma=0.95)
        >>> [round(float(rate), 3) for rate in rates]
        [0.1, 0.28, 0.1, 0.164]
    """
    count = cycle(step, half_cycle_steps) if scale_mode == "cycle" else ops.cast(step, "float32")
    height = ops.power(float(gamma), count)
    return peak * (start_rate + (1.0 - start_rate) * triangle(step, half_cycle_steps) * height)


@keras.saving.register_keras_serializable(package="kerastricks")
class ExponentialCyclical(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate goes in triangles over `peak * start_rate` whose height falls exponentially with the steps.

    `exponential_cyclical` has the formula. As `Triangular2`, with a decay of one's own choice: gamma^t is what is left
    of the height. It hurts when gamma is not fitted to the length: 0.999 leaves 37 % after 1,000 steps and nothing
    after 10,000.

    Args:
        peak: what the highest learning rate is without `gamma`.
        half_cycle_steps: from the lowest rate to the highest.
        start_rate: the lowest learning rate as a fraction of the peak.
        gamma: of the height, per step, in (0, 1]; 1 is `Triangular`.
        scale_mode: "iterations" counts steps; "cycle", which tensorflow-addons also takes, cycles.
        name: of the schedule.

    Call arguments:
        step: integers, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: for half cycles that are not above 0, a start_rate outside [0, 1], a gamma outside (0, 1], or an
            unknown scale_mode.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.ExponentialCyclical(0.4, half_cycle_steps=10, gamma=0.95)
        >>> round(float(rate(10)), 3), round(float(rate(30)), 3)
        (0.28, 0.164)

    Reference:
        Smith: Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section 3.1, "exp_range". The
        values are those of `ExponentialCyclicalLearningRate` of tensorflow-addons with
        initial_learning_rate = peak * start_rate. Deviation: the text lets both bounds fall, the published code and
        tensorflow-addons the height alone, as here.
    """

    def __init__(
        self,
        peak: float,
        half_cycle_steps: float,
        start_rate: float = 0.25,
        gamma: float = 1.0,
        scale_mode: str = "iterations",
        name: str = "exponential_cyclical",
    ) -> None:
        check_cycle(half_cycle_steps, start_rate, scale_mode)
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma must be in (0, 1]. Received: gamma={gamma}")
        self.peak = peak
        self.half_cycle_steps = half_cycle_steps
        self.start_rate = start_rate
        self.gamma = gamma
        self.scale_mode = scale_mode
        self.name = name

    def __call__(self, step: Any) -> Any:
        return exponential_cyclical(
            step, self.peak, self.half_cycle_steps, self.start_rate, self.gamma, self.scale_mode
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "half_cycle_steps": self.half_cycle_steps,
            "start_rate": self.start_rate,
            "gamma": self.gamma,
            "scale_mode": self.scale_mode,
            "name": self.name,
        }

"""Cyclical learning rates: triangles of one height, halved in each cycle, or under a falling exponential."""

from typing import Any

import keras
from keras import ops

from kerastricks.schedules.former_names import renamed


def triangle(step: Any, half_cycle_steps: float) -> Any:
    """Height of the triangle at `step`: 0 at the start of a cycle, 1 in its middle.

    Args:
        step: integers or floats, a scalar or an array.
        half_cycle_steps: steps from 0 to 1.
    """
    # The remainder first: a difference of large numbers of cycles would round.
    position = ops.mod(ops.cast(step, "float32"), 2.0 * half_cycle_steps)
    return ops.maximum(0.0, 1.0 - ops.abs(position / half_cycle_steps - 1.0))


def cycle(step: Any, half_cycle_steps: float) -> Any:
    """Number of the cycle that `step` is in, from 1.

    Args:
        step: integers or floats, a scalar or an array.
        half_cycle_steps: half the length of a cycle.
    """
    return ops.floor(1.0 + ops.cast(step, "float32") / (2.0 * half_cycle_steps))


def check_cycle(half_cycle_steps: float, start_fraction: float, scale_mode: str = "cycle") -> None:
    """Raises ValueError for arguments that make no triangles."""
    if not half_cycle_steps > 0:
        raise ValueError(f"half_cycle_steps must be above 0. Received: half_cycle_steps={half_cycle_steps}")
    if not 0 <= start_fraction <= 1:
        raise ValueError(f"start_fraction must be in [0, 1], of the peak. Received: start_fraction={start_fraction}")
    if scale_mode not in ("cycle", "iterations"):
        raise ValueError(f'scale_mode must be "cycle" or "iterations". Received: scale_mode={scale_mode!r}')


@keras.saving.register_keras_serializable(package="kerastricks")
@renamed(start_rate="start_fraction")
class Triangular(keras.optimizers.schedules.LearningRateSchedule):
    """Moves the learning rate in straight lines between `peak * start_fraction` and `peak`, without an end.

    rate(t) = low + (peak - low) max(0, 1 - |t / s - 2 c + 1|),   c = floor(1 + t / 2 s),   low = peak start

    Large rates now and then help out of saddle points, and no decay has to be timed. It hurts at the end: with equal
    triangles the training ends well only where one of them ends; `Triangular2` settles.

    Args:
        peak: the highest learning rate; the paper's max_lr, the largest at which accuracy still rises.
        half_cycle_steps: s, from the lowest rate to the highest; the paper's stepsize, that of 2 to 10 epochs.
        start_fraction: the lowest learning rate as a fraction of the peak; the paper takes a third or a quarter.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: for half cycles that are not above 0, or a start_fraction outside [0, 1].

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.Triangular(0.4, half_cycle_steps=10)
        >>> round(float(rate(0)), 3), round(float(rate(10)), 3), round(float(rate(25)), 3)
        (0.1, 0.4, 0.25)

    Reference:
        Smith: Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section 3.1. The values are those
        of `TriangularCyclicalLearningRate` of tensorflow-addons with initial_learning_rate = peak * start_fraction.
    """

    def __init__(
        self, peak: float, half_cycle_steps: float, start_fraction: float = 0.25, name: str = "triangular"
    ) -> None:
        check_cycle(half_cycle_steps, start_fraction)
        self.peak = peak
        self.half_cycle_steps = half_cycle_steps
        self.start_fraction = start_fraction
        self.name = name

    def __call__(self, step: Any) -> Any:
        height = triangle(step, self.half_cycle_steps)
        return self.peak * (self.start_fraction + (1.0 - self.start_fraction) * height)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "half_cycle_steps": self.half_cycle_steps,
            "start_fraction": self.start_fraction,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="kerastricks")
@renamed(start_rate="start_fraction")
class Triangular2(keras.optimizers.schedules.LearningRateSchedule):
    """Moves the learning rate in triangles over `peak * start_fraction`, each half as high as the one before.

    rate(t) = low + (peak - low) max(0, 1 - |t / s - 2 c + 1|) / 2^(c - 1),   c = floor(1 + t / 2 s),   low = peak start

    As `Triangular`, and it settles; it hurts where the first cycles are too short to get anywhere, since all later ones
    are lower.

    Args:
        peak: the highest learning rate.
        half_cycle_steps: s, from the lowest rate to the highest.
        start_fraction: the lowest learning rate as a fraction of the peak.
        scale_mode: "cycle" halves after each cycle; "iterations", which tensorflow-addons also takes, after each step.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: for half cycles that are not above 0, a start_fraction outside [0, 1], or an unknown scale_mode.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.Triangular2(0.4, half_cycle_steps=10)
        >>> round(float(rate(10)), 3), round(float(rate(30)), 3), round(float(rate(50)), 3)
        (0.4, 0.25, 0.175)

    Reference:
        Smith: Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section 3.1. The values are those
        of `Triangular2CyclicalLearningRate` of tensorflow-addons with initial_learning_rate = peak * start_fraction.
    """

    def __init__(
        self,
        peak: float,
        half_cycle_steps: float,
        start_fraction: float = 0.25,
        scale_mode: str = "cycle",
        name: str = "triangular2",
    ) -> None:
        check_cycle(half_cycle_steps, start_fraction, scale_mode)
        self.peak = peak
        self.half_cycle_steps = half_cycle_steps
        self.start_fraction = start_fraction
        self.scale_mode = scale_mode
        self.name = name

    def __call__(self, step: Any) -> Any:
        count = cycle(step, self.half_cycle_steps) if self.scale_mode == "cycle" else ops.cast(step, "float32")
        height = ops.power(2.0, 1.0 - count)
        return self.peak * (
            self.start_fraction + (1.0 - self.start_fraction) * triangle(step, self.half_cycle_steps) * height
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "half_cycle_steps": self.half_cycle_steps,
            "start_fraction": self.start_fraction,
            "scale_mode": self.scale_mode,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="kerastricks")
@renamed(start_rate="start_fraction")
class ExponentialCyclical(keras.optimizers.schedules.LearningRateSchedule):
    """Moves the learning rate in triangles over `peak * start_fraction` whose height falls exponentially.

    rate(t) = low + (peak - low) max(0, 1 - |t / s - 2 c + 1|) gamma^t,   c = floor(1 + t / 2 s),   low = peak start

    As `Triangular2`, with a decay of one's own choice: gamma^t is what is left of the height. It hurts when gamma is
    not fitted to the length: 0.999 leaves 37 % after 1,000 steps and nothing after 10,000.

    Args:
        peak: what the highest learning rate is without `gamma`.
        half_cycle_steps: s, from the lowest rate to the highest.
        start_fraction: the lowest learning rate as a fraction of the peak.
        gamma: factor of the height, per step, in (0, 1]; 1 is `Triangular`.
        scale_mode: "iterations" counts steps; "cycle", which tensorflow-addons also takes, cycles.
        name: of the schedule.

    Call arguments:
        step: integers or floats, a scalar or an array.

    Returns:
        float32 of the shape of `step`.

    Raises:
        ValueError: for half cycles that are not above 0, a start_fraction outside [0, 1], a gamma outside (0, 1], or an
            unknown scale_mode.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.ExponentialCyclical(0.4, half_cycle_steps=10, gamma=0.95)
        >>> round(float(rate(10)), 3), round(float(rate(30)), 3)
        (0.28, 0.164)

    Reference:
        Smith: Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section 3.1, "exp_range". The
        values are those of `ExponentialCyclicalLearningRate` of tensorflow-addons with
        initial_learning_rate = peak * start_fraction. Deviation: the text lets both bounds fall, the published code and
        tensorflow-addons only the height, as here.
    """

    def __init__(
        self,
        peak: float,
        half_cycle_steps: float,
        start_fraction: float = 0.25,
        gamma: float = 1.0,
        scale_mode: str = "iterations",
        name: str = "exponential_cyclical",
    ) -> None:
        check_cycle(half_cycle_steps, start_fraction, scale_mode)
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma must be in (0, 1]. Received: gamma={gamma}")
        self.peak = peak
        self.half_cycle_steps = half_cycle_steps
        self.start_fraction = start_fraction
        self.gamma = gamma
        self.scale_mode = scale_mode
        self.name = name

    def __call__(self, step: Any) -> Any:
        count = cycle(step, self.half_cycle_steps) if self.scale_mode == "cycle" else ops.cast(step, "float32")
        height = ops.power(float(self.gamma), count)
        return self.peak * (
            self.start_fraction + (1.0 - self.start_fraction) * triangle(step, self.half_cycle_steps) * height
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "half_cycle_steps": self.half_cycle_steps,
            "start_fraction": self.start_fraction,
            "gamma": self.gamma,
            "scale_mode": self.scale_mode,
            "name": self.name,
        }

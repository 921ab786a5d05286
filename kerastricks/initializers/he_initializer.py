"""What He's two initializers share: the variance, and the slope in it."""

from math import isfinite
from typing import Any

from kerastricks.initializers.fan_initializer import FanInitializer


class HeInitializer(FanInitializer):
    """Draws with variance 2 / ((1 + a^2) n_in); a subclass says from which `distribution`.

    Args:
        negative_slope: a.
        depthwise: see `FanInitializer`.
        seed: see `SeededInitializer`.

    Raises:
        ValueError: for a slope that is not finite, or another kind of seed.
    """

    def __init__(self, negative_slope: float = 0.0, depthwise: bool = False, seed: Any = None) -> None:
        super().__init__(self.distribution, depthwise, seed)
        if not isfinite(negative_slope):
            raise ValueError(f"negative_slope must be a finite number. Received: negative_slope={negative_slope}")
        self.negative_slope = negative_slope

    def variance(self, n_in: float, n_out: float) -> float:
        return 2 / ((1 + self.negative_slope**2) * n_in)

    def get_config(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope, **super().get_config()}

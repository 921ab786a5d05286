"""What Xavier's two initializers share: the variance."""

from typing import Any

from kerastricks.initializers.fan_initializer import FanInitializer


class XavierInitializer(FanInitializer):
    """Draws with variance 2 / (n_in + n_out); a subclass says from which `distribution`.

    Args:
        depthwise: see `FanInitializer`.
        seed: see `SeededInitializer`.
    """

    def __init__(self, depthwise: bool = False, seed: Any = None) -> None:
        super().__init__(self.distribution, depthwise, seed)

    def variance(self, n_in: float, n_out: float) -> float:
        return 2 / (n_in + n_out)

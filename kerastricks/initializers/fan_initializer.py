"""What the initializers share whose variance follows from the size of the kernel."""

from collections.abc import Sequence
from math import sqrt
from typing import Any, Literal

from kerastricks.initializers.fan_sizes import asking_layer, fans, layer_fans
from kerastricks.initializers.seeded_initializer import SeededInitializer


class FanInitializer(SeededInitializer):
    """Draws with mean 0 and the variance that `variance(n_in, n_out)` gives; subclasses define it.

    Args:
        distribution: "normal" (untruncated) or "uniform" (limit sqrt(3 variance)).
        depthwise: whether the kernel is a depthwise one, see `fans`. A layer of Keras's that asks says it itself.
        seed: see `SeededInitializer`.

    Raises:
        ValueError: for another distribution or kind of seed.
    """

    distribution: Literal["normal", "uniform"]

    def __init__(
        self, distribution: Literal["normal", "uniform"] = "normal", depthwise: bool = False, seed: Any = None
    ) -> None:
        super().__init__(seed)
        if distribution not in ("normal", "uniform"):
            raise ValueError(f'distribution must be "normal" or "uniform". Received: distribution={distribution!r}')
        if not isinstance(depthwise, bool):
            raise ValueError(f"depthwise must be True or False. Received: depthwise={depthwise!r}")
        self.distribution = distribution
        self.depthwise = depthwise

    def variance(self, n_in: float, n_out: float) -> float:
        """Of each weight."""
        raise NotImplementedError

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        asking = None if self.depthwise else asking_layer()
        counted = layer_fans(*asking, shape) if asking is not None else None
        variance = self.variance(*(counted or fans(shape, self.depthwise)))
        if self.distribution == "normal":
            return self.normal(shape, sqrt(variance), dtype)
        return self.uniform(shape, sqrt(3 * variance), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"depthwise": self.depthwise, **super().get_config()}

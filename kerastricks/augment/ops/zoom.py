"""Random zoom."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import log_between
from kerastricks.augment.op import Draws, GeometricMap, Parameters
from kerastricks.augment.outside import check_outside
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Zoom(GeometricMap):
    """Enlarges or shrinks an image about its centre by a factor drawn log-uniformly from [low, high].

    The network sees objects at other sizes; the aspect is kept, and the size of the image. Between pixels it
    interpolates, without averaging: far below 1 fine patterns turn into coarse ones. It hurts where the size tells the
    class.

    Args:
        low: the smallest factor, above 0; below 1 shrinks.
        high: the largest factor, `low` or more; above 1 enlarges.
        outside: what is seen beyond the image: "black", "reflect" or "nearest".

    Reference:
        The `scale` of albumentations' Affine and torchvision's RandomAffine. Deviation: log-uniform, so that half the
        size is as likely as double.
    """

    low: float = 0.8
    high: float = 1.25
    outside: str = "black"

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"scale": 1.0}

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise SpecError(f"zoom: must have 0 < low <= high. Received: low={self.low}, high={self.high}")
        check_outside("zoom", self.outside)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"scale": log_between(draws.uniforms[:, 0], self.low, self.high, xp)}

    def matrix(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, ...]:
        step = 1.0 / parameters["scale"]
        return step, 0.0, 0.0, 0.0, step, 0.0

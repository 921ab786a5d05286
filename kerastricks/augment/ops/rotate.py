"""Random rotation."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import between
from kerastricks.augment.op import Draws, GeometricMap, Parameters
from kerastricks.augment.outside import check_outside
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Rotate(GeometricMap):
    """Turns an image about its centre by an angle drawn from [-degrees, degrees].

    Args:
        degrees: the largest angle, in [0, 180].
        outside: what is seen beyond the image: "black", "reflect" or "nearest".
    """

    degrees: float = 15.0
    outside: str = "black"

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"radians": 0.0}

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 180:
            raise SpecError(f"rotate: degrees must be in [0, 180]. Received: degrees={self.degrees}")
        check_outside("rotate", self.outside)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        most = math.radians(self.degrees)
        return {"radians": between(draws.uniforms[:, 0], -most, most)}

    def matrix(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, ...]:
        cos, sin = xp.cos(parameters["radians"]), xp.sin(parameters["radians"])
        return cos, sin, 0.0, -sin, cos, 0.0

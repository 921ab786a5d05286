"""Random shear."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import between
from kerastricks.augment.op import Draws, GeometricMap, Parameters
from kerastricks.augment.outside import check_outside
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Shear(GeometricMap):
    """Slants an image about its centre by angles drawn from [-x_degrees, x_degrees] and [-y_degrees, y_degrees].

    As if seen from the side a little. Large angles push corners out of the image.

    Args:
        x_degrees: the largest angle by which columns are slanted (rows slide), in [0, 90).
        y_degrees: the largest angle by which rows are slanted (columns slide), in [0, 90).
        outside: what is seen beyond the image: "black", "reflect" or "nearest".

    Reference:
        torchvision's RandomAffine(shear=...): one number shears in x alone, angles are uniform, slopes are their
        tangents; with both, the area is kept. A slope is RandAugment's level: with one of the two the source is
        (x + x_shear y, y) or (x, y + y_shear x), as in Pillow. Deviation: about the centre, where RandAugment's
        authors shear about the corner.
    """

    x_degrees: float = 15.0
    y_degrees: float = 0.0
    outside: str = "black"

    uniforms = 2
    neutral: ClassVar[dict[str, float]] = {"x_shear": 0.0, "y_shear": 0.0}

    def __post_init__(self) -> None:
        for name in ("x_degrees", "y_degrees"):
            degrees = getattr(self, name)
            if not 0 <= degrees < 90:
                raise SpecError(f"shear: {name} must be in [0, 90). Received: {name}={degrees}")
        check_outside("shear", self.outside)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        x, y = math.radians(self.x_degrees), math.radians(self.y_degrees)
        return {
            "x_shear": xp.tan(between(draws.uniforms[:, 0], -x, x)),
            "y_shear": xp.tan(between(draws.uniforms[:, 1], -y, y)),
        }

    def matrix(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, ...]:
        x_shear, y_shear = parameters["x_shear"], parameters["y_shear"]
        return 1.0 + x_shear * y_shear, x_shear, 0.0, y_shear, 1.0, 0.0

"""Affine maps about the centre, with interpolation: rotation, shear, zoom."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.arguments import check_outside
from kerastricks.augment.distributions import between, log_between
from kerastricks.augment.op import Draws, GeometricMap, Parameters
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


@dataclass(frozen=True)
class Shear(GeometricMap):
    """Slants an image about its centre by angles drawn from [-x_degrees, x_degrees] and [-y_degrees, y_degrees].

    As if seen from the side a little. Large angles push corners out of the image.

    Args:
        x_degrees: the largest angle by which columns are slanted (rows slide), in [0, 90).
        y_degrees: the largest angle by which rows are slanted (columns slide), in [0, 90).
        outside: what is seen beyond the image: "black", "reflect" or "nearest".

    Reference:
        torchvision's RandomAffine(shear=...): one number shears only in x, angles are uniform, slopes are their
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

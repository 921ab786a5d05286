"""Random shift, by whole pixels."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from kerastricks.augment.distributions import integer
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, Facts, IndexMap, Parameters
from kerastricks.augment.outside import check_outside
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Translate(IndexMap):
    """Shifts each image by whole pixels, drawn for rows and columns on their own.

    The network sees objects at other places. It hurts where the place tells the class, and where what matters is
    shifted out. `pad_crop` is the same in pixels, for one size of images.

    Args:
        fraction: the farthest shift as a fraction of the side, rounded to pixels; in [0, 1].
        outside: what is seen beyond the image: "black", "reflect" or "nearest".

    Reference:
        Cubuk et al.: RandAugment, arXiv 1909.13719, TranslateX and TranslateY. Deviation: whole pixels, both
        directions at once, uniform up to the farthest.
    """

    fraction: float = 0.1
    outside: str = "black"
    most: tuple[int, int] = field(default=(0, 0), init=False)

    uniforms = 2
    neutral: ClassVar[dict[str, float]] = {"down": 0.0, "right": 0.0}
    leaves = True

    def __post_init__(self) -> None:
        check_fraction("translate", fraction=self.fraction)
        check_outside("translate", self.outside)

    def bind(self, facts: Facts) -> "Translate":
        height, width = facts.image_shape[:2]
        most = round(self.fraction * height), round(self.fraction * width)
        if self.fraction > 0 and most == (0, 0):
            raise SpecError(
                f"translate: fraction must be a pixel or more of images of {height}x{width}. "
                f"Received: fraction={self.fraction}"
            )
        return self.knowing(most=most)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        down, right = (integer(draws.uniforms[:, i], -most, most, xp) for i, most in enumerate(self.most))
        return {"down": down, "right": right}

    def rows(self, y: Any, parameters: Parameters, height: int, xp: Any) -> Any:
        return y - xp.cast(parameters["down"], y.dtype)

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        return x - xp.cast(parameters["right"], x.dtype)

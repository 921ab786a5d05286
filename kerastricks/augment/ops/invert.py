"""Random negative."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import ColourMap, Draws, Parameters


@dataclass(frozen=True)
class Invert(ColourMap):
    """Makes each image its negative, 255 - x, with probability `rate`.

    It helps where dark on bright and bright on dark mean the same (drawings, characters); photographs never look like
    that, and on them it mostly hurts.

    Args:
        rate: probability per image, in [0, 1].

    Reference:
        Cubuk et al.: AutoAugment, CVPR 2019, table of operations; Pillow's ImageOps.invert.
    """

    rate: float = 0.1

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"applied": 0.0}

    def __post_init__(self) -> None:
        check_fraction("invert", rate=self.rate)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"applied": xp.cast(chosen(draws.uniforms[:, 0], self.rate), "float32")}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        applied = parameters["applied"][:, None]
        return 1 - 2 * applied, 255.0 * applied

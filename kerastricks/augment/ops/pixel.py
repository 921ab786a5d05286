"""Random loss of brightness levels."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, Parameters, PixelOp
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Posterize(PixelOp):
    """Keeps the `bits` highest bits of each value, with probability `rate`: 2^bits levels are left.

    The network learns to do without fine shades; images get darker by half a level on average. It hurts where texture
    and gentle slopes tell the classes apart.

    Values are rounded to integers before their bits are cut; images that are left out keep their fractions.

    Args:
        bits: how many are kept, an integer in [1, 8]; with 8 nothing changes.
        rate: probability per image, in [0, 1].

    Reference:
        Cubuk et al.: AutoAugment, CVPR 2019, table of operations; Pillow's ImageOps.posterize. Arguments are those of
        torchvision's RandomPosterize: the number of bits is not drawn. `randaugment` and `trivialaugment` draw it.
    """

    bits: int = 4
    rate: float = 0.5

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"bits": 8.0}

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= 8:
            raise SpecError(f"posterize: bits must be an integer in [1, 8]. Received: bits={self.bits!r}")
        check_fraction("posterize", rate=self.rate)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"bits": xp.where(chosen(draws.uniforms[:, 0], self.rate), float(self.bits), 8.0)}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        bits = xp.cast(parameters["bits"], "float32")[:, None, None, None]
        level = xp.round(xp.exp((8.0 - bits) * math.log(2)))  # a power of two, exactly
        return xp.where(bits < 8, xp.floor(xp.round(images) / level) * level, images)

"""Random negative of what is bright."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, Parameters, PixelOp
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Solarize(PixelOp):
    """Inverts values from `threshold` on, 255 - x, with probability `rate`.

    A strong change that keeps edges; it helps large networks trained long, and hurts small ones and fine shades.

    Args:
        threshold: values below it stay, 0 to 256: 0 inverts all, 256 none.
        rate: probability per image, in [0, 1].

    Reference:
        Cubuk et al.: AutoAugment, CVPR 2019, table of operations; Pillow's ImageOps.solarize. Arguments are those of
        torchvision's RandomSolarize: the threshold is not drawn. `randaugment` and `trivialaugment` draw it.
    """

    threshold: float = 128.0
    rate: float = 0.5

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"threshold": 256.0}

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 256:
            raise SpecError(f"solarize: threshold must be in [0, 256]. Received: threshold={self.threshold}")
        check_fraction("solarize", rate=self.rate)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"threshold": xp.where(chosen(draws.uniforms[:, 0], self.rate), float(self.threshold), 256.0)}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        threshold = xp.cast(parameters["threshold"], "float32")[:, None, None, None]
        return xp.where(images < threshold, images, 255.0 - images)

"""Nonlinear changes of each pixel by itself: gamma, posterization, solarization."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.arguments import check_fraction
from kerastricks.augment.distributions import chosen, log_between, power
from kerastricks.augment.op import Draws, Parameters, PixelOp
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Gamma(PixelOp):
    """Raises an image, in [0, 1], to a power drawn log-uniform from [1 / most, most]: as often darker as brighter.

    The network becomes indifferent to a camera's tone curve; unlike `brightness` it cuts nothing off. It hurts where
    brightness tells the classes apart.

    Args:
        most: the largest power, 1 or more.

    Reference:
        Gamma correction as in torchvision's adjust_gamma with gain 1. Deviations: log-uniform, where libraries that
        draw the power draw it uniformly, which darkens more often than it brightens; the result is not rounded.
    """

    most: float = 1.5

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"gamma": 1.0}

    def __post_init__(self) -> None:
        if not 1 <= self.most < float("inf"):
            raise SpecError(f"gamma: most must be 1 or more. Received: most={self.most}")

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"gamma": log_between(draws.uniforms[:, 0], 1 / self.most, self.most, xp)}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        gamma = parameters["gamma"][:, None, None, None]
        changed = xp.clip(255.0 * power(images / 255.0, gamma, xp), 0.0, 255.0)
        return xp.where(gamma == 1, images, changed)


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

"""Random gamma."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import log_between
from kerastricks.augment.op import Draws, Parameters, PixelOp
from kerastricks.augment.power import power
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

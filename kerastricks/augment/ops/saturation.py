"""Random saturation."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import between
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.luma import LUMA, needs_colour
from kerastricks.augment.op import ColourMap, Draws, Facts, Parameters


@dataclass(frozen=True)
class Saturation(ColourMap):
    """Blends an image with its grey self: factor 0 is grey, 1 the image, 2 twice as colourful.

    The network becomes indifferent to how vivid colours are: light, weather, camera. It hurts where that tells the
    classes apart (ripeness, stains).

    Args:
        strength: the factor is drawn from [1 - strength, 1 + strength]; in [0, 1].

    Reference:
        Pillow's ImageEnhance.Color, which torchvision's ColorJitter(saturation) and RandAugment's "Color" share.
        Deviation: neither grey nor the result is rounded, and the result is clipped once, behind the last of
        neighbouring colour ops.
    """

    strength: float = 0.5

    uniforms = 1
    mixes_channels = True
    neutral: ClassVar[dict[str, float]] = {"factor": 1.0}

    def __post_init__(self) -> None:
        check_fraction("saturation", strength=self.strength)

    def bind(self, facts: Facts) -> "Saturation":
        needs_colour("saturation", facts)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"factor": between(draws.uniforms[:, 0], 1 - self.strength, 1 + self.strength)}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        factor = parameters["factor"][:, None, None]
        grey = xp.convert_to_tensor([[LUMA] * 3], "float32")
        same = xp.convert_to_tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]], "float32")
        return factor * same + (1 - factor) * grey, xp.zeros((1, 3))

"""Random contrast."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import between
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.luma import LUMA
from kerastricks.augment.op import ColourMap, Draws, Parameters


@dataclass(frozen=True)
class Contrast(ColourMap):
    """Blends an image with its mean grey: factor 0 is one grey, 1 the image, 2 twice the distance from that grey.

    The network becomes indifferent to haze and flat light. It hurts where faint differences are what is looked for,
    and large factors cut off the darkest and brightest.

    Args:
        strength: the factor is drawn from [1 - strength, 1 + strength]; in [0, 1].

    Reference:
        Howard: Some Improvements on Deep Convolutional Neural Network Based Image Classification, arXiv 1312.5402;
        the form is Pillow's ImageEnhance.Contrast, which torchvision's ColorJitter and RandAugment share. Deviations:
        the mean is not rounded to an integer, nor is the result; behind other colour ops it is the mean of their
        result before it is clipped.
    """

    strength: float = 0.2

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"factor": 1.0}
    needs_mean = True

    def __post_init__(self) -> None:
        check_fraction("contrast", strength=self.strength)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"factor": between(draws.uniforms[:, 0], 1 - self.strength, 1 + self.strength)}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        factor = parameters["factor"][:, None]
        weights = LUMA if mean.shape[-1] == 3 else (1.0,)
        grey = sum(weight * mean[:, channel : channel + 1] for channel, weight in enumerate(weights))
        return factor, (1 - factor) * grey

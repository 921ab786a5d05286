"""Random brightness."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import between
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import ColourMap, Draws, Parameters


@dataclass(frozen=True)
class Brightness(ColourMap):
    """Multiplies an image by a factor drawn from [1 - strength, 1 + strength].

    The network becomes indifferent to exposure. It hurts where brightness tells the classes apart, and large factors
    cut off what is bright already.

    Args:
        strength: largest change of the factor, in [0, 1]; at 1 an image may turn black.

    Reference:
        Howard: Some Improvements on Deep Convolutional Neural Network Based Image Classification, arXiv 1312.5402;
        the form is Pillow's ImageEnhance.Brightness, which torchvision's ColorJitter shares. Deviation: the result is
        not rounded, and clipped once, behind the last of neighbouring colour ops.
    """

    strength: float = 0.2

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"factor": 1.0}

    def __post_init__(self) -> None:
        check_fraction("brightness", strength=self.strength)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"factor": between(draws.uniforms[:, 0], 1 - self.strength, 1 + self.strength)}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        return parameters["factor"][:, None], xp.zeros((1, 1))

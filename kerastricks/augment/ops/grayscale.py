"""Random loss of colour."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.luma import LUMA, needs_colour
from kerastricks.augment.op import ColourMap, Draws, Facts, Parameters


@dataclass(frozen=True)
class Grayscale(ColourMap):
    """Makes each image grey with probability `rate`: all channels become its luma.

    The network learns shapes beside colours. It hurts where colour tells the classes apart.

    Args:
        rate: probability per image, in [0, 1].

    Reference:
        Chen et al.: A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, appendix A, with
        rate 0.2; torchvision's RandomGrayscale has 0.1. Luma is that of ITU-R BT.601, as in Pillow. Deviation: it is
        not rounded.
    """

    rate: float = 0.1

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"applied": 0.0}

    def __post_init__(self) -> None:
        check_fraction("grayscale", rate=self.rate)

    def bind(self, facts: Facts) -> "Grayscale":
        needs_colour("grayscale", facts)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"applied": xp.cast(chosen(draws.uniforms[:, 0], self.rate), "float32")}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        applied = parameters["applied"][:, None, None]
        grey = xp.convert_to_tensor([[LUMA] * 3], "float32")
        same = xp.convert_to_tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]], "float32")
        return (1 - applied) * same + applied * grey, xp.zeros((1, 3))

"""Flips with a probability: what the horizontal and the vertical one share."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, IndexMap, Parameters


@dataclass(frozen=True)
class Mirror(IndexMap):
    """Base of flips: says which images are mirrored.

    Args:
        rate: probability per image, in [0, 1].
    """

    rate: float = 0.5

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"flipped": 0.0}

    def __post_init__(self) -> None:
        check_fraction(type(self).__module__.rpartition(".")[2], rate=self.rate)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"flipped": xp.cast(chosen(draws.uniforms[:, 0], self.rate), "float32")}


def mirrored(places: Any, size: int, parameters: Parameters, xp: Any) -> Any:
    """Rows or columns counted from the other side where an image is flipped."""
    return xp.where(parameters["flipped"] > 0, size - 1 - places, places)

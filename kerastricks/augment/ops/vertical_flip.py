"""Vertical flip."""

from dataclasses import dataclass
from typing import Any

from kerastricks.augment.mirror import Mirror, mirrored
from kerastricks.augment.op import Parameters


@dataclass(frozen=True)
class VerticalFlip(Mirror):
    """Mirrors each image top to bottom with probability `rate`.

    For images without an up and a down, as from above or through a microscope; it hurts photographs, in which the sky
    is above.

    Args:
        rate: probability per image, in [0, 1].
    """

    def rows(self, y: Any, parameters: Parameters, height: int, xp: Any) -> Any:
        return mirrored(y, height, parameters, xp)

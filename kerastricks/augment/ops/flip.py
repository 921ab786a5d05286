"""Horizontal flip."""

from dataclasses import dataclass
from typing import Any

from kerastricks.augment.mirror import Mirror, mirrored
from kerastricks.augment.op import Parameters


@dataclass(frozen=True)
class Flip(Mirror):
    """Mirrors each image left to right with probability `rate`.

    It doubles the data where left and right mean the same, and hurts where they do not (digits, text).

    Args:
        rate: probability per image, in [0, 1].
    """

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        return mirrored(x, width, parameters, xp)

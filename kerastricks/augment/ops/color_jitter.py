"""Brightness, contrast, saturation and hue under the name that other libraries give them together."""

from dataclasses import dataclass
from typing import Any

from kerastricks.augment.op import Draws, Facts, Op, Parameters, Policy
from kerastricks.augment.ops.brightness import Brightness
from kerastricks.augment.ops.contrast import Contrast
from kerastricks.augment.ops.hue import Hue
from kerastricks.augment.ops.saturation import Saturation
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class ColorJitter(Policy):
    """Changes brightness, contrast, saturation and hue of each image, in this order: `brightness(0.4) | ...`.

    The planner makes one matrix per image of the first three; the hue follows in a pass of its own. What each is good
    for, and where it hurts, is told by `brightness`, `contrast`, `saturation` and `hue`. For one matrix of all four,
    write `color_jitter(hue=0) | hue_yiq(0.1)`.

    Args:
        brightness: strength of `brightness`, in [0, 1]; 0 leaves it out, here and below.
        contrast: strength of `contrast`, in [0, 1].
        saturation: strength of `saturation`, in [0, 1].
        hue: turns of `hue`, in [0, 0.5].

    Reference:
        torchvision's ColorJitter, which timm and SimCLR use. Deviations: torchvision draws the order of the four, too,
        and rounds and clips after each of them.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1

    uniforms = 4

    def __post_init__(self) -> None:
        for name, most in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0.5)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise SpecError(f"color_jitter: {name} must be in [0, {most}]. Received: {name}={value}")

    def bind(self, facts: Facts) -> "ColorJitter":
        if facts.image_shape[-1] != 3 and (self.saturation or self.hue):
            raise SpecError(
                "color_jitter needs colour images for saturation and hue: "
                f"write color_jitter({self.brightness}, {self.contrast}, 0, 0), or load in colour"
            )
        return self

    @property
    def _active(self) -> list[tuple[int, Op]]:
        """Those with a strength, and each one's column of the uniforms."""
        ops = (Brightness(self.brightness), Contrast(self.contrast), Saturation(self.saturation), Hue(self.hue))
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        return [(column, op) for column, op in enumerate(ops) if strengths[column]]

    @property
    def members(self) -> tuple[Op, ...]:
        return tuple(op for _, op in self._active)

    def member_parameters(self, number: int, draws: Draws, xp: Any) -> Parameters:
        column, op = self._active[number]
        return op.parameters(draws._replace(uniforms=draws.uniforms[:, column : column + 1]), xp)

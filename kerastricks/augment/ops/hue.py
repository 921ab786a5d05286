"""Random hue."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.colours import from_hexagon, to_hexagon
from kerastricks.augment.distributions import between
from kerastricks.augment.luma import needs_colour
from kerastricks.augment.op import Draws, Facts, Parameters, PixelOp
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Hue(PixelOp):
    """Adds one angle to all hues of an image, red towards yellow or towards magenta; saturation and value stay.

    The network becomes indifferent to the tint of light. It hurts where colour tells the classes apart, and soon: the
    strengths of common recipes are at most 0.1. `hue_yiq` is the cheaper relative that is fused with other colours.

    Args:
        turns: the angle is drawn from [-turns, turns], in turns of 360 degrees; in [0, 0.5].

    Reference:
        Smith: Color Gamut Transform Pairs, SIGGRAPH 1978 (HSV); the hue of torchvision's ColorJitter, of timm and of
        albumentations. Deviation: they round to whole numbers, which is left to whatever follows here.
    """

    turns: float = 0.05

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"turns": 0.0}

    def __post_init__(self) -> None:
        if not 0 <= self.turns <= 0.5:
            raise SpecError(f"hue: turns must be in [0, 0.5]. Received: turns={self.turns}")

    def bind(self, facts: Facts) -> "Hue":
        needs_colour("hue", facts)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"turns": between(draws.uniforms[:, 0], -self.turns, self.turns)}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        # Hue is a ratio of differences: values 0 to 255 need no scaling.
        red, green, blue = (images[..., channel] for channel in range(3))
        hue, chroma, value = to_hexagon(red, green, blue, xp)
        turns = parameters["turns"][:, None, None]
        turned = xp.stack(from_hexagon(hue + 6.0 * turns, chroma, value, xp), axis=-1)
        # There and back again is not exactly the same.
        return xp.where(turns[..., None] == 0, images, turned)

"""Random hue, as one matrix."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerastricks.augment.distributions import between
from kerastricks.augment.luma import LUMA, needs_colour
from kerastricks.augment.op import ColourMap, Draws, Facts, Parameters
from kerastricks.errors import SpecError

# Rows Y, I, Q of the NTSC's colours: Y is the luma, (I, Q) the tint, in which the hue is an angle.
_YIQ = np.array([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
_TO_RGB = np.linalg.inv(_YIQ)
# A turn by an angle is  1 + (cos - 1) tint + sin quarter  in RGB; red goes to yellow.
_TINT = _TO_RGB @ np.diag([0.0, 1.0, 1.0]) @ _YIQ
_QUARTER = _TO_RGB @ np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]) @ _YIQ


@dataclass(frozen=True)
class HueYiq(ColourMap):
    """Turns the tint of an image by one angle in the colour plane of YIQ; greys and luma stay.

    The cheap hue: one matrix per image, which is fused with brightness, contrast and saturation. It changes colours
    by more than `hue` does at the same number of turns, as luma is kept where `hue` keeps the largest channel. Use it
    where the pipeline is what training waits for. It hurts where colour tells the classes apart.

    Args:
        turns: the angle is drawn from [-turns, turns], in turns of 360 degrees; in [0, 0.5].

    Reference:
        tensorflow-addons' adjust_hsv_in_yiq and the Hue operator of NVIDIA DALI turn the plane (I, Q) likewise.
        torchvision, timm and albumentations mean HSV, see `hue`. Colours near the edge of the cube may be clipped.
    """

    turns: float = 0.05

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"turns": 0.0}

    def __post_init__(self) -> None:
        if not 0 <= self.turns <= 0.5:
            raise SpecError(f"hue_yiq: turns must be in [0, 0.5]. Received: turns={self.turns}")

    def bind(self, facts: Facts) -> "HueYiq":
        needs_colour("hue_yiq", facts)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"turns": between(draws.uniforms[:, 0], -self.turns, self.turns)}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        angle = (2 * math.pi * parameters["turns"])[:, None, None]
        same, tint, quarter = (xp.convert_to_tensor([m.tolist()], "float32") for m in (np.eye(3), _TINT, _QUARTER))
        return same + (xp.cos(angle) - 1) * tint + xp.sin(angle) * quarter, xp.zeros((1, 3))

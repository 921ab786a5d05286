"""TrivialAugment, with its wide ranges."""

import math
from dataclasses import dataclass, field
from typing import Any

from kerastricks.augment.distributions import integer, sign
from kerastricks.augment.op import Draws, Facts, Op, Parameters, Policy
from kerastricks.augment.ops.policies import CHOICES, LEVELS, Reach, members_for, parameters_of
from kerastricks.augment.outside import check_outside

_WIDE = Reach(slope=0.99, shift=(32.0, 32.0), radians=math.radians(135), enhance=0.99, fewest_bits=2)


@dataclass(frozen=True)
class Trivialaugment(Policy):
    """Applies one op to each image, drawn from fourteen, at a magnitude drawn from 0 to 30.

    Nothing has to be chosen, and it is as good as policies that were searched for. It hurts where direction, colour or
    texture tells the classes apart; and its shifts are in pixels: images of 32 may leave the picture. Each of the ops
    costs time for every image, drawn or not: see docs/augmentation.md.

    The fourteen, at magnitude 30: identity; shear_x, shear_y (slope 0.99); translate_x, translate_y (32 pixels);
    rotate (135 degrees); brightness, color, contrast, sharpness (factor 1 +- 0.99); posterize (2 bits); solarize (from
    0 on); autocontrast; equalize. At magnitude 0 all but the last two change nothing; between, they grow evenly. Those
    with two directions draw one.

    Args:
        outside: what is seen beyond a moved image: "black", "reflect" or "nearest".

    Reference:
        Müller, Hutter: TrivialAugment, arXiv 2103.10158, section 3 and "Wide" in table 1; 31 magnitudes as in
        torchvision's TrivialAugmentWide. Deviations: shears are about the centre; bilinear, where torchvision takes the
        nearest pixel; shifts are whole pixels; solarize inverts from 256 (1 - magnitude / 30) on, so that 0 inverts
        nothing, where torchvision begins at 255.
    """

    outside: str = "black"
    slot: tuple[Op, ...] = field(default=(), init=False, repr=False)

    uniforms = 3

    def __post_init__(self) -> None:
        check_outside("trivialaugment", self.outside)

    def bind(self, facts: Facts) -> "Trivialaugment":
        return self.knowing(slot=members_for(facts, self.outside))

    @property
    def members(self) -> tuple[Op, ...]:
        return self.slot

    def member_parameters(self, number: int, draws: Draws, xp: Any) -> Parameters:
        choice = integer(draws.uniforms[:, 0], 0, len(CHOICES) - 1, xp)
        level = xp.cast(integer(draws.uniforms[:, 2], 0, LEVELS - 1, xp), "float32") / (LEVELS - 1)
        return parameters_of(self.slot[number], choice, sign(draws.uniforms[:, 1], xp), level, _WIDE, xp)

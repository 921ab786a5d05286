"""RandAugment, with draws per image."""

import math
from dataclasses import dataclass, field
from typing import Any

from kerastricks.augment.distributions import integer, sign
from kerastricks.augment.op import Draws, Facts, Op, Parameters, Policy
from kerastricks.augment.ops.policies import CHOICES, LEVELS, Reach, members_for, parameters_of
from kerastricks.augment.outside import check_outside
from kerastricks.errors import SpecError

_SHIFT = 150 / 331  # of the side, at magnitude 30


@dataclass(frozen=True)
class Randaugment(Policy):
    """Applies `count` ops to each image, one after the other, each drawn from fourteen, all at one magnitude.

    Strong and varied, with two numbers to choose instead of a strength per op; larger networks and longer trainings
    want more of it. It hurts small networks trained shortly, and where direction, colour or texture tells the classes
    apart. Each of the ops costs time for every image, drawn or not: see docs/augmentation.md.

    The fourteen, at magnitude 30: identity; shear_x, shear_y (slope 0.3); translate_x, translate_y (150/331 of the
    side, in whole pixels); rotate (30 degrees); brightness, color, contrast, sharpness (factor 1 +- 0.9); posterize (4
    bits); solarize (from 0 on); autocontrast; equalize. At magnitude 0 all but the last two change nothing; between,
    they grow evenly. Those with two directions draw one.

    Args:
        count: ops an image gets, 1 or more; the same one may be drawn twice.
        magnitude: of all of them, in [0, 30].
        outside: what is seen beyond a moved image: "black", "reflect" or "nearest".

    Reference:
        Cubuk et al.: RandAugment, arXiv 1909.13719, section 3; ranges and the 31 magnitudes as in torchvision, in
        which 30 is AutoAugment's 10 (the authors' code counts 9 as 0.9 of it, torchvision and this as 0.3). Deviations:
        every image draws its own ops (Keras's layer draws for the batch); shears are about the centre; bilinear, where
        torchvision takes the nearest pixel; black beyond the image, where the authors fill with grey; solarize inverts
        from 256 (1 - magnitude / 30) on, so that 0 inverts nothing, where torchvision begins at 255.
    """

    count: int = 2
    magnitude: float = 9
    outside: str = "black"
    slot: tuple[Op, ...] = field(default=(), init=False, repr=False)
    reach: Reach | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise SpecError(f"randaugment: count must be an integer, 1 or more. Received: count={self.count!r}")
        if not 0 <= self.magnitude <= LEVELS - 1:
            raise SpecError(f"randaugment: magnitude must be in [0, 30]. Received: magnitude={self.magnitude}")
        check_outside("randaugment", self.outside)

    def bind(self, facts: Facts) -> "Randaugment":
        height, width, _ = facts.image_shape
        reach = Reach(0.3, (_SHIFT * height, _SHIFT * width), math.radians(30), 0.9, 4)
        return self.knowing(slot=members_for(facts, self.outside), reach=reach)

    @property
    def uniforms(self) -> int:  # type: ignore[override]
        return 2 * self.count

    @property
    def members(self) -> tuple[Op, ...]:
        return self.slot * self.count

    def member_parameters(self, number: int, draws: Draws, xp: Any) -> Parameters:
        assert self.reach is not None, "bound"
        slot, place = divmod(number, len(self.slot))
        choice = integer(draws.uniforms[:, 2 * slot], 0, len(CHOICES) - 1, xp)
        direction = sign(draws.uniforms[:, 2 * slot + 1], xp)
        return parameters_of(self.slot[place], choice, direction, self.magnitude / (LEVELS - 1), self.reach, xp)

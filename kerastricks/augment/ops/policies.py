"""Policies that draw ops per image: RandAugment and TrivialAugment, over the same fourteen ops."""

import math
from dataclasses import dataclass, field
from typing import Any

from kerastricks.augment.arguments import check_outside
from kerastricks.augment.distributions import integer, sign
from kerastricks.augment.op import Draws, ImageSpec, Op, Parameters, Policy
from kerastricks.augment.ops.colour import Brightness, Contrast, Saturation
from kerastricks.augment.ops.crops import Translate
from kerastricks.augment.ops.geometric import Rotate, Shear
from kerastricks.augment.ops.neighbourhood import Autocontrast, Equalize, Sharpness
from kerastricks.augment.ops.pixel import Posterize, Solarize
from kerastricks.errors import SpecError

CHOICES = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)

LEVELS = 31  # magnitude 0 to 30


@dataclass(frozen=True)
class Reach:
    """Strength of each op at the largest magnitude; at 0 it does nothing, between it grows linearly.

    Args:
        slope: of a shear.
        shift: of a translation, (down, right) in pixels.
        radians: of a rotation.
        enhance: how far the factors of brightness, color, contrast and sharpness are from 1.
        fewest_bits: that posterize leaves.
    """

    slope: float
    shift: tuple[float, float]
    radians: float
    enhance: float
    fewest_bits: int


_SHIFT = 150 / 331  # of the side, at magnitude 30

_WIDE = Reach(slope=0.99, shift=(32.0, 32.0), radians=math.radians(135), enhance=0.99, fewest_bits=2)


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

    def bind(self, image_spec: ImageSpec) -> "Randaugment":
        height, width, _ = image_spec.image_shape
        reach = Reach(0.3, (_SHIFT * height, _SHIFT * width), math.radians(30), 0.9, 4)
        return self.knowing(slot=members_for(image_spec, self.outside), reach=reach)

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

    def bind(self, image_spec: ImageSpec) -> "Trivialaugment":
        return self.knowing(slot=members_for(image_spec, self.outside))

    @property
    def members(self) -> tuple[Op, ...]:
        return self.slot

    def member_parameters(self, number: int, draws: Draws, xp: Any) -> Parameters:
        choice = integer(draws.uniforms[:, 0], 0, len(CHOICES) - 1, xp)
        level = xp.cast(integer(draws.uniforms[:, 2], 0, LEVELS - 1, xp), "float32") / (LEVELS - 1)
        return parameters_of(self.slot[number], choice, sign(draws.uniforms[:, 1], xp), level, _WIDE, xp)


def members_for(image_spec: ImageSpec, outside: str) -> tuple[Op, ...]:
    """One member for all choices of a kind: neighbours are fused, and each costs once whichever image draws it.

    Args:
        image_spec: of the images; color is the identity for grey ones, and left out.
        outside: what is seen beyond a moved image.
    """
    spatial = (Shear(outside=outside), Translate(1.0, outside), Rotate(outside=outside))
    colours = (
        (Brightness(), Saturation(), Contrast()) if image_spec.image_shape[-1] == 3 else (Brightness(), Contrast())
    )
    others = (Posterize(), Solarize(), Equalize(), Autocontrast(), Sharpness())
    return tuple(op.bind(image_spec) for op in (*spatial, *colours, *others))


def parameters_of(member: Op, choice: Any, sign: Any, level: Any, reach: Reach, xp: Any) -> Parameters:
    """Parameters of a member: the magnitude where an image drew it, otherwise neutral ones.

    Args:
        member: of `members_for`.
        choice: (batch,) int32, indices into `CHOICES`.
        sign: (batch,) -1 or 1, for the ops that have two directions.
        level: magnitude / 30, (batch,) or a number.
        reach: of the ops.
        xp: the namespace.
    """

    def where(name: str, value: Any, otherwise: float) -> Any:
        return xp.where(choice == CHOICES.index(name), value, otherwise)

    match member:
        case Shear():
            slope = sign * (level * reach.slope)
            return {"x_shear": where("shear_x", slope, 0.0), "y_shear": where("shear_y", slope, 0.0)}
        case Translate():
            down, right = (xp.round(sign * (level * pixels)) for pixels in reach.shift)
            return {"down": where("translate_y", down, 0.0), "right": where("translate_x", right, 0.0)}
        case Rotate():
            return {"radians": where("rotate", sign * (level * reach.radians), 0.0)}
        case Posterize():
            bits = xp.round(8.0 - (level + 0.0 * sign) * (8 - reach.fewest_bits))
            return {"bits": where("posterize", bits, 8.0)}
        case Solarize():
            return {"threshold": where("solarize", 256.0 * (1.0 - (level + 0.0 * sign)), 256.0)}
        case Equalize() | Autocontrast():
            return {"applied": where({Equalize: "equalize", Autocontrast: "autocontrast"}[type(member)], 1.0, 0.0)}
    names = {Brightness: "brightness", Saturation: "color", Contrast: "contrast", Sharpness: "sharpness"}
    return {"factor": where(names[type(member)], 1.0 + sign * (level * reach.enhance), 1.0)}

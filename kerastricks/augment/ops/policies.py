"""The fourteen ops that RandAugment and TrivialAugment choose from, as the members of a policy."""

from dataclasses import dataclass
from typing import Any

from kerastricks.augment.op import Facts, Op, Parameters
from kerastricks.augment.ops.autocontrast import Autocontrast
from kerastricks.augment.ops.brightness import Brightness
from kerastricks.augment.ops.contrast import Contrast
from kerastricks.augment.ops.equalize import Equalize
from kerastricks.augment.ops.geometric import Shear
from kerastricks.augment.ops.pixel import Posterize
from kerastricks.augment.ops.rotate import Rotate
from kerastricks.augment.ops.saturation import Saturation
from kerastricks.augment.ops.sharpness import Sharpness
from kerastricks.augment.ops.solarize import Solarize
from kerastricks.augment.ops.translate import Translate

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
    """What each op does at the largest magnitude; at 0 it does nothing, and between it grows evenly.

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


def members_for(facts: Facts, outside: str) -> tuple[Op, ...]:
    """One op for all choices of its kind: neighbours are fused, and each costs once whichever image draws it.

    Args:
        facts: of the images; color is the identity for grey ones, and left out.
        outside: what is seen beyond a moved image.
    """
    spatial = (Shear(outside=outside), Translate(1.0, outside), Rotate(outside=outside))
    colours = (Brightness(), Saturation(), Contrast()) if facts.image_shape[-1] == 3 else (Brightness(), Contrast())
    others = (Posterize(), Solarize(), Equalize(), Autocontrast(), Sharpness())
    return tuple(op.bind(facts) for op in (*spatial, *colours, *others))


def parameters_of(member: Op, choice: Any, sign: Any, level: Any, reach: Reach, xp: Any) -> Parameters:
    """What a member gets: the magnitude where an image drew it, else what changes nothing.

    Args:
        member: of `members_for`.
        choice: (batch,) int32, places in `CHOICES`.
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

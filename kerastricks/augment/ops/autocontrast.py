"""Random stretch to the full range."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, ImageOp, Parameters


@dataclass(frozen=True)
class Autocontrast(ImageOp):
    """Stretches each channel so that its darkest value becomes 0 and its brightest 255, with probability `rate`.

    The network becomes indifferent to exposure and haze. It hurts where they tell the classes apart; images that use
    the full range already do not change.

    Darkest and brightest are rounded to integers first: a channel of one value, up to the rounding errors of the ops
    before, does not change.

    Args:
        rate: probability per image, in [0, 1].

    Reference:
        Cubuk et al.: AutoAugment, CVPR 2019, table of operations; Pillow's ImageOps.autocontrast without cutoff.
        Deviation: results keep their fractions, which Pillow cuts off, as torchvision does on floats. Arguments are
        those of torchvision's RandomAutocontrast.
    """

    rate: float = 0.5

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"applied": 0.0}

    def __post_init__(self) -> None:
        check_fraction("autocontrast", rate=self.rate)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"applied": xp.cast(chosen(draws.uniforms[:, 0], self.rate), "float32")}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        _, height, width, channels = xp.shape(images)
        rows = xp.reshape(images, (-1, height, width * channels))

        def over_pixels(extreme: Any) -> Any:
            # Over rows first: a reduction whose inner axis is the channels' is slow on a processor.
            columns = xp.reshape(extreme(rows, axis=1), (-1, width, channels))
            return xp.round(extreme(columns, axis=1))

        low, high = over_pixels(xp.min), over_pixels(xp.max)
        stretches = xp.logical_and(parameters["applied"][:, None] > 0, high > low)
        gain = xp.where(stretches, 255.0 / xp.maximum(high - low, 1.0), 1.0)
        low = xp.where(stretches, low, 0.0)
        gain, low = (xp.tile(number, (1, width))[:, None, :] for number in (gain, low))
        return xp.reshape(xp.clip((rows - low) * gain, 0.0, 255.0), (-1, height, width, channels))

"""Random histogram equalisation."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, ImageOp, Parameters


@dataclass(frozen=True)
class Equalize(ImageOp):
    """Spreads each channel's values so that all are about as frequent, with probability `rate`.

    The network becomes indifferent to exposure and contrast. It hurts where they tell the classes apart, and noise in
    flat images becomes visible.

    Values are rounded to integers before they are looked up; images and channels that are left out (fewer than 255
    pixels outside the brightest value) keep their fractions.

    Args:
        rate: probability per image, in [0, 1].

    Reference:
        Cubuk et al.: AutoAugment, CVPR 2019, table of operations; Pillow's ImageOps.equalize, value for value on
        integers. Its steps are whole numbers of pixels, which small images feel: at 32x32 up to a quarter of the pixels
        become white. Arguments are those of torchvision's RandomEqualize.
    """

    rate: float = 0.5

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"applied": 0.0}

    def __post_init__(self) -> None:
        check_fraction("equalize", rate=self.rate)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"applied": xp.cast(chosen(draws.uniforms[:, 0], self.rate), "float32")}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        batch, height, width, channels = xp.shape(images)
        # Whole rows with the channels' tables side by side: a lookup over four axes takes twice as long under XLA.
        rows = xp.reshape(images, (-1, height, width * channels))
        tables = 256 * channels * xp.arange(batch, dtype="int32")[:, None, None]
        tables = tables + xp.tile(256 * xp.arange(channels, dtype="int32"), (width,))
        places = tables + xp.cast(xp.clip(xp.round(rows), 0.0, 255.0), "int32")
        flat = xp.reshape(places, (-1,))
        counts = xp.reshape(xp.segment_sum(xp.ones_like(flat), flat, batch * channels * 256), (-1, 256))
        step, table = _table(counts, height * width, xp)
        changed = xp.cast(xp.take(xp.reshape(table, (-1,)), places, axis=0), "float32")
        spread = xp.reshape(step > 0, (-1, channels))
        applied = xp.logical_and(parameters["applied"][:, None] > 0, spread)
        result = xp.where(xp.tile(applied, (1, width))[:, None, :], changed, rows)
        return xp.reshape(result, (-1, height, width, channels))


def _table(counts: Any, pixels: int, xp: Any) -> tuple[Any, Any]:
    """Pixels a step, (n, 1), 0 where nothing is to be spread; and what each value becomes, (n, 256).

    `counts` is (n, 256) int: a histogram per image and channel.
    """
    values = xp.arange(256, dtype="int32")
    highest = xp.max(xp.where(counts > 0, values, 0), axis=1, keepdims=True)
    last = xp.sum(xp.where(values == highest, counts, 0), axis=1, keepdims=True)
    step = (pixels - last) // 255
    below = xp.cumsum(counts, axis=1) - counts
    whole = xp.maximum(step, 1)
    table = xp.minimum((whole // 2 + below) // whole, 255)
    # As the running sum of its rises: else XLA puts the division into the lookup, and makes one per pixel.
    return step, xp.cumsum(table - xp.pad(table[:, :-1], ((0, 0), (1, 0))), axis=1)

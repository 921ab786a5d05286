"""Random sharpness."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import between
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, Facts, ImageOp, Parameters
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Sharpness(ImageOp):
    """Blends an image with its smoothed self: factor 0 is smooth, 1 the image, 2 sharpened.

    Smooth is the mean over 3x3 pixels in which the middle one counts five times; the pixels at the edge stay. The
    network becomes indifferent to focus and to a camera's sharpening; it hurts where fine texture tells the classes
    apart. At 32x32 it is a strong change, at 224x224 a weak one.

    Args:
        strength: the factor is drawn from [1 - strength, 1 + strength]; in [0, 1].

    Reference:
        Cubuk et al.: AutoAugment, CVPR 2019, table of operations; Pillow's ImageEnhance.Sharpness. Deviation: neither
        the smooth image nor the result is rounded.
    """

    strength: float = 0.5

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"factor": 1.0}

    def __post_init__(self) -> None:
        check_fraction("sharpness", strength=self.strength)

    def bind(self, facts: Facts) -> "Sharpness":
        if min(facts.image_shape[:2]) < 3:
            height, width = facts.image_shape[:2]
            raise SpecError(f"sharpness needs images of 3x3 or more. Received: {height}x{width}; take it out")
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"factor": between(draws.uniforms[:, 0], 1 - self.strength, 1 + self.strength)}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        _, height, width, channels = xp.shape(images)
        rows = xp.reshape(images, (-1, height, width * channels))
        padded = xp.pad(rows, ((0, 0), (1, 1), (channels, channels)))
        lines = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
        boxes = lines[:, :, : -2 * channels] + lines[:, :, channels:-channels] + lines[:, :, 2 * channels :]
        # Multiplying by 0 at the edge is faster than leaving it out.
        inner = xp.convert_to_tensor([0.0] + [1.0] * (height - 2) + [0.0])[:, None]
        inner = inner * xp.convert_to_tensor([0.0] * channels + [1.0] * (width - 2) * channels + [0.0] * channels)
        weight = inner * (1.0 - parameters["factor"])[:, None, None] / 13.0
        blended = rows + weight * (boxes - 9.0 * rows)  # 13 times smooth - image
        return xp.reshape(xp.clip(blended, 0.0, 255.0), (-1, height, width, channels))

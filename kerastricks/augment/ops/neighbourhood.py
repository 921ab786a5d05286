"""Changes by a pixel's neighbours or the whole image: blur, sharpness, equalization, autocontrast."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerastricks.augment.arguments import check_fraction
from kerastricks.augment.distributions import between, chosen
from kerastricks.augment.op import Draws, ImageOp, ImageSpec, Parameters
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Blur(ImageOp):
    """Blurs each image with a Gaussian of its own width, with probability `rate`.

    The network becomes indifferent to focus and learns shapes beside textures. It hurts where fine texture tells the
    classes apart. Widths are in pixels: what is gentle at 224x224 leaves nothing at 32x32.

    Beyond the edge the image is mirrored, without the edge.

    Args:
        sigma_px_range: (low, high) of the Gaussian's standard deviation, drawn uniformly, in pixels, 0 or more; the
            kernel reaches 3 times `high`, which must be below the image's side.
        rate: probability per image, in [0, 1].

    Reference:
        Chen et al.: A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, appendix A.
        Deviation: the kernel's size is 6 high + 1, not a tenth of the image's side.
    """

    sigma_px_range: tuple[float, float] = (0.1, 2.0)
    rate: float = 0.5

    uniforms = 2
    neutral: ClassVar[dict[str, float]] = {"sigma_px": 0.0}

    def __post_init__(self) -> None:
        given = self.sigma_px_range
        if np.shape(given) != (2,) or not 0 <= given[0] <= given[1] < math.inf:
            raise SpecError(f"blur: sigma_px_range must be (low, high), 0 or more. Received: sigma_px_range={given}")
        check_fraction("blur", rate=self.rate)

    @property
    def _reach(self) -> int:
        return math.ceil(3 * self.sigma_px_range[1])

    def bind(self, image_spec: ImageSpec) -> "Blur":
        side = min(image_spec.image_shape[:2])
        if self._reach >= side:
            raise SpecError(
                f"blur: 3 times the largest sigma must be below the image's side, {side}. "
                f"Received: sigma_px_range={self.sigma_px_range}"
            )
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        sigma = between(draws.uniforms[:, 0], *self.sigma_px_range)
        return {"sigma_px": xp.where(chosen(draws.uniforms[:, 1], self.rate), sigma, 0.0)}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        _, height, width, channels = xp.shape(images)
        reach, weights = self._reach, self._weights(parameters["sigma_px"], xp)
        mirrored = ((0, 0), (reach, reach), (0, 0))
        lines = xp.pad(xp.reshape(images, (-1, height, width * channels)), mirrored, mode="reflect")
        down = sum(
            weights[:, abs(shift), None, None] * lines[:, reach + shift : reach + shift + height]
            for shift in range(-reach, reach + 1)
        )
        lines = xp.pad(xp.reshape(down, (-1, width, channels)), mirrored, mode="reflect")
        lines = xp.reshape(lines, (-1, height, (width + 2 * reach) * channels))
        across = sum(
            weights[:, abs(shift), None, None] * lines[:, :, (reach + shift) * channels :][:, :, : width * channels]
            for shift in range(-reach, reach + 1)
        )
        return xp.reshape(xp.clip(across, 0.0, 255.0), (-1, height, width, channels))

    def _weights(self, sigma_px: Any, xp: Any) -> Any:
        """(batch, reach + 1): of pixels at distance 0, 1, ...; with sigma 0 exactly 1, 0, ..."""
        distance = xp.arange(self._reach + 1, dtype="float32")
        scaled = distance / xp.maximum(sigma_px, 1e-3)[:, None]
        weights = xp.exp(-0.5 * scaled * scaled)
        return weights / (2.0 * xp.sum(weights, axis=1, keepdims=True) - 1.0)


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

    def bind(self, image_spec: ImageSpec) -> "Sharpness":
        if min(image_spec.image_shape[:2]) < 3:
            height, width = image_spec.image_shape[:2]
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

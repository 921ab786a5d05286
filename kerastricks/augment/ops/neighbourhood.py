"""Random Gaussian blur."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerastricks.augment.distributions import between, chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, Facts, ImageOp, Parameters
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

    def bind(self, facts: Facts) -> "Blur":
        side = min(facts.image_shape[:2])
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

"""Erasures: cutout paints over a square, random erasing over a box of random area and aspect."""

import math
from dataclasses import dataclass, field
from typing import Any

from kerastricks.augment.arguments import check_fill, check_fraction, fixed_colour
from kerastricks.augment.distributions import between, chosen, integer
from kerastricks.augment.op import Draws, Erasure, ImageSpec, Parameters
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Cutout(Erasure):
    """Paints over a square in every image, its centre at any pixel, so that a part of it may lie outside.

    The network learns not to rely on one part of an object. The better size is smaller where there are more classes,
    and what is left outside matters: images that are hardly cut are seen, too.

    Args:
        size_px: side of the square, 1 or more, and at most the image's side.
        fill: "black" or "mean" (of the training pixels, rounded).

    Reference:
        DeVries, Taylor: Improved Regularization of Convolutional Neural Networks with Cutout, arXiv 1708.04552,
        section 3.2: 16 pixels for CIFAR-10, 8 for CIFAR-100, on images of 32. Deviations: the paper paints zero after
        normalisation, which is "mean"; a square of an odd size keeps it, where the authors' code makes it one less.
    """

    size_px: int = 16
    fill: str = "black"
    image_shape: tuple[int, int, int] = field(default=(0, 0, 0), init=False)
    paint: tuple[float, ...] = field(default=(), init=False)

    wants_raw = True
    uniforms = 2

    def __post_init__(self) -> None:
        if isinstance(self.size_px, bool) or not isinstance(self.size_px, int) or self.size_px < 1:
            raise SpecError(f"cutout: size_px must be an integer, 1 or more. Received: size_px={self.size_px!r}")
        check_fill("cutout", self.fill, ("black", "mean"))

    def bind(self, image_spec: ImageSpec) -> "Cutout":
        side = min(image_spec.image_shape[:2])
        if self.size_px > side:
            raise SpecError(f"cutout: size_px must be at most the image's side, {side}. Received: {self.size_px}")
        return self.knowing(image_shape=image_spec.image_shape, paint=fixed_colour("cutout", self.fill, image_spec))

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        height, width, _ = self.image_shape
        row, column = (integer(draws.uniforms[:, i], 0, side - 1, xp) for i, side in enumerate((height, width)))
        return {"row": row, "column": column}

    def box(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, Any, Any, Any]:
        top, left = parameters["row"] - self.size_px // 2, parameters["column"] - self.size_px // 2
        return top, top + self.size_px, left, left + self.size_px

    def colour(self, parameters: Parameters, xp: Any) -> Any:
        return xp.convert_to_tensor([self.paint], "float32")


@dataclass(frozen=True)
class Erase(Erasure):
    """Paints over a box of random area, aspect and place, with probability `rate`.

    The network learns not to rely on one part of an object, and to see what is half hidden. It hurts where a small
    thing tells the class.

    Args:
        rate: probability per image, in [0, 1].
        area_range: (low, high) of the box's area as a fraction of the image's, uniform; in (0, 1).
        max_ratio: the box's width / height is log-uniform in [1 / max_ratio, max_ratio], as far as such a box fits; 1
            or more.
        fill: "black", "mean" (of the training pixels, rounded) or "colour" (drawn per image).

    Reference:
        Zhong et al.: Random Erasing Data Augmentation, arXiv 1708.04896, algorithm 1. Deviations: the defaults are
        timm's and torchvision's (the paper: rate 0.5, area up to 0.4); the aspect is log-uniform where the paper's
        is uniform, and drawn from what fits where the paper draws all again; one colour where the paper's best is
        noise.
    """

    rate: float = 0.25
    area_range: tuple[float, float] = (0.02, 0.33)
    max_ratio: float = 3.3
    fill: str = "black"
    image_shape: tuple[int, int, int] = field(default=(0, 0, 0), init=False)
    paint: tuple[float, ...] = field(default=(), init=False)

    wants_raw = True

    def __post_init__(self) -> None:
        check_fraction("erase", rate=self.rate)
        area_range = self.area_range
        if not isinstance(area_range, tuple) or len(area_range) != 2 or not 0 < area_range[0] <= area_range[1] < 1:
            raise SpecError(f"erase: area_range must be (low, high) within (0, 1). Received: area_range={area_range}")
        if not 1 <= self.max_ratio < math.inf:
            raise SpecError(f"erase: max_ratio must be 1 or more. Received: max_ratio={self.max_ratio}")
        check_fill("erase", self.fill, ("black", "mean", "colour"))

    @property
    def uniforms(self) -> int:  # type: ignore[override]
        return 5 + (self.image_shape[-1] if self.fill == "colour" else 0)

    def bind(self, image_spec: ImageSpec) -> "Erase":
        paint = () if self.fill == "colour" else fixed_colour("erase", self.fill, image_spec)
        return self.knowing(image_shape=image_spec.image_shape, paint=paint)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        height, width, channels = self.image_shape
        erased, area, shape, down, right = (draws.uniforms[:, i] for i in range(5))
        area = between(area, *self.area_range)
        # The widths between which aspect and height are legal: fractions of the image.
        square = xp.sqrt(area * (height / width))
        narrowest = xp.clip(square / math.sqrt(self.max_ratio), area, 1.0)
        widest = xp.clip(square * math.sqrt(self.max_ratio), area, 1.0)
        wide = narrowest * xp.exp(shape * xp.log(widest / narrowest))
        is_erased = xp.cast(chosen(erased, self.rate), "float32")
        tall, wide = xp.round(area / wide * height), xp.round(wide * width)
        tall, wide = xp.clip(tall, 1.0, float(height)) * is_erased, xp.clip(wide, 1.0, float(width)) * is_erased
        top = xp.minimum(xp.floor(down * (height - tall + 1)), height - tall)
        left = xp.minimum(xp.floor(right * (width - wide + 1)), width - wide)
        box = {"top": top, "bottom": top + tall, "left": left, "right": left + wide}
        if self.fill == "colour":
            box["colour"] = xp.cast(integer(draws.uniforms[:, 5 : 5 + channels], 0, 255, xp), "float32")
        return box

    def box(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, Any, Any, Any]:
        return parameters["top"], parameters["bottom"], parameters["left"], parameters["right"]

    def colour(self, parameters: Parameters, xp: Any) -> Any:
        return parameters["colour"] if self.fill == "colour" else xp.convert_to_tensor([self.paint], "float32")

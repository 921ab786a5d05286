"""Cutout: a square is painted over."""

from dataclasses import dataclass, field
from typing import Any

from kerastricks.augment.arguments import check_fill, fixed_colour
from kerastricks.augment.distributions import integer
from kerastricks.augment.op import Draws, Erasure, Facts, Parameters
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

    def bind(self, facts: Facts) -> "Cutout":
        side = min(facts.image_shape[:2])
        if self.size_px > side:
            raise SpecError(f"cutout: size_px must be at most the image's side, {side}. Received: {self.size_px}")
        return self.knowing(image_shape=facts.image_shape, paint=fixed_colour("cutout", self.fill, facts))

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        height, width, _ = self.image_shape
        row, column = (integer(draws.uniforms[:, i], 0, side - 1, xp) for i, side in enumerate((height, width)))
        return {"row": row, "column": column}

    def box(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, Any, Any, Any]:
        top, left = parameters["row"] - self.size_px // 2, parameters["column"] - self.size_px // 2
        return top, top + self.size_px, left, left + self.size_px

    def colour(self, parameters: Parameters, xp: Any) -> Any:
        return xp.convert_to_tensor([self.paint], "float32")

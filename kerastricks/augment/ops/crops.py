"""Random crops and shifts: pad and crop, translation, random resized crop."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kerastricks.augment.arguments import check_fraction, check_outside
from kerastricks.augment.distributions import ATTEMPTS, drawn_box, integer
from kerastricks.augment.op import Draws, GeometricMap, ImageSpec, IndexMap, Parameters
from kerastricks.errors import SpecError

_OUTSIDE = {"edge": "nearest", "reflect": "reflect", "zero": "black"}


@dataclass(frozen=True)
class PadCrop(IndexMap):
    """Pads each image on all sides and cuts the original size at a place drawn per image.

    Args:
        pixels: of padding on each side; 0 or more, and below the image's side.
        mode: "zero" (black), "reflect" (mirrored without the edge) or "edge" (the edge repeated).

    Reference:
        Lee et al.: Deeply-Supervised Nets, AISTATS 2015; He et al., CVPR 2016, section 4.2.
    """

    pixels: int = 4
    mode: str = "zero"
    # Rows and columns that the image has more than the result: `kerastricks.layers.RandomCrop` cuts another size.
    slack: tuple[Any, Any] = field(default=(0, 0), init=False)

    uniforms = 2
    neutral: ClassVar[dict[str, float]] = {"down": 0.0, "right": 0.0}

    def __post_init__(self) -> None:
        if isinstance(self.pixels, bool) or not isinstance(self.pixels, int) or self.pixels < 0:
            raise SpecError(f"pad_crop: pixels must be an integer, 0 or more. Received: pixels={self.pixels!r}")
        if self.mode not in _OUTSIDE:
            raise SpecError(f"pad_crop: mode must be one of {sorted(_OUTSIDE)}. Received: mode={self.mode!r}")

    @property
    def outside(self) -> str:  # type: ignore[override]
        return _OUTSIDE[self.mode]

    @property
    def leaves(self) -> bool:
        return self.pixels > 0

    def bind(self, image_spec: ImageSpec) -> "PadCrop":
        side = min(image_spec.image_shape[:2])
        if self.pixels >= side:
            raise SpecError(f"pad_crop: pixels must be below the image's side, {side}. Received: pixels={self.pixels}")
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        down, right = (
            integer(draws.uniforms[:, axis], -self.pixels, self.pixels + slack, xp)
            for axis, slack in enumerate(self.slack)
        )
        return {"down": down, "right": right}

    def rows(self, y: Any, parameters: Parameters, height: int, xp: Any) -> Any:
        return y + xp.cast(parameters["down"], y.dtype)

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        return x + xp.cast(parameters["right"], x.dtype)


@dataclass(frozen=True)
class Translate(IndexMap):
    """Shifts each image by whole pixels, drawn for rows and columns on their own.

    The network sees objects at other places. It hurts where the place tells the class, and where what matters is
    shifted out. `pad_crop` is the same in pixels, for one size of images.

    Args:
        fraction: the farthest shift as a fraction of the side, rounded to pixels; in [0, 1].
        outside: what is seen beyond the image: "black", "reflect" or "nearest".

    Reference:
        Cubuk et al.: RandAugment, arXiv 1909.13719, TranslateX and TranslateY. Deviation: whole pixels, both
        directions at once, uniform up to the farthest.
    """

    fraction: float = 0.1
    outside: str = "black"
    most: tuple[int, int] = field(default=(0, 0), init=False)

    uniforms = 2
    neutral: ClassVar[dict[str, float]] = {"down": 0.0, "right": 0.0}
    leaves = True

    def __post_init__(self) -> None:
        check_fraction("translate", fraction=self.fraction)
        check_outside("translate", self.outside)

    def bind(self, image_spec: ImageSpec) -> "Translate":
        height, width = image_spec.image_shape[:2]
        most = round(self.fraction * height), round(self.fraction * width)
        if self.fraction > 0 and most == (0, 0):
            raise SpecError(
                f"translate: fraction must be a pixel or more of images of {height}x{width}. "
                f"Received: fraction={self.fraction}"
            )
        return self.knowing(most=most)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        down, right = (integer(draws.uniforms[:, i], -most, most, xp) for i, most in enumerate(self.most))
        return {"down": down, "right": right}

    def rows(self, y: Any, parameters: Parameters, height: int, xp: Any) -> Any:
        return y - xp.cast(parameters["down"], y.dtype)

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        return x - xp.cast(parameters["right"], x.dtype)


BOX = ("top", "left", "box_height", "box_width")  # parameters, each (batch,), in whole pixels


@dataclass(frozen=True)
class RandomResizedCrop(GeometricMap):
    """Cuts a box of random area, aspect and place out of each image and resizes it to the image's size.

    The augmentation of ImageNet training: objects are seen at many scales, places and stretchings. Too small a `low`
    cuts the object away, in small or closely cropped images soonest.

    Per image ten boxes are drawn, the area uniform and the aspect log-uniform; the first that fits into the image is
    put at a uniform place. Where none fits, it is the largest centred box whose aspect is the allowed one nearest to
    the image's. As the first op of a spec it runs while files are decoded, on images of any size (`window`).

    Args:
        low: smallest area of the box as a fraction of the image's; in (0, 1].
        high: largest area; in [low, 1].
        max_ratio: width / height of the box is log-uniform in [1 / max_ratio, max_ratio]; 1 or more.

    Reference:
        Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 6: area uniform in 8 to 100 %, aspect in
        [3/4, 4/3]. Deviations: `low` is 0.35, which suits images of 32 pixels too; the rest as in
        `kerastricks.layers.RandomResizedCrop`, whose boxes these are. Windows of files are averaged where they shrink
        (antialiasing, as Pillow and torchvision do). Images of the pipeline's size have no larger box than the result:
        their pixels are interpolated between the four nearest, at the box's edge perhaps with neighbours outside it.
    """

    low: float = 0.35
    high: float = 1.0
    max_ratio: float = 4 / 3
    height: int = field(default=0, init=False)
    width: int = field(default=0, init=False)
    aspect_range: tuple[float, float] = field(default=(1.0, 1.0), init=False)

    uniforms = 2 * ATTEMPTS + 2
    outside = "nearest"

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high <= 1:
            raise SpecError(
                f"random_resized_crop: must have 0 < low <= high <= 1. Received: low={self.low}, high={self.high}"
            )
        if not 1 <= self.max_ratio < math.inf:
            raise SpecError(f"random_resized_crop: max_ratio must be 1 or more. Received: max_ratio={self.max_ratio}")
        object.__setattr__(self, "aspect_range", (1 / self.max_ratio, self.max_ratio))

    def bind(self, image_spec: ImageSpec) -> "RandomResizedCrop":
        height, width, _ = image_spec.image_shape
        return self.knowing(height=height, width=width)

    @property
    def neutral(self) -> dict[str, float]:  # type: ignore[override]
        return dict(zip(BOX, (0.0, 0.0, float(self.height), float(self.width)), strict=True))

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        shapes = {"attempts": draws.uniforms[:, : 2 * ATTEMPTS], "places": draws.uniforms[:, 2 * ATTEMPTS :]}
        return shapes | dict(zip(BOX, self.window(shapes, self.height, self.width, xp), strict=True))

    def window(self, parameters: Parameters, height: Any, width: Any, xp: Any) -> tuple[Any, Any, Any, Any]:
        """The box in images of another size, by the same draws.

        Args:
            parameters: with "attempts" and "places".
            height: in pixels, a number or (batch,).
            width: likewise.
            xp: the namespace.

        Returns:
            top, left, height, width, each (batch,) float32 of whole pixels, inside the image.
        """
        attempts = xp.reshape(parameters["attempts"], (-1, ATTEMPTS, 2))
        return drawn_box(attempts, parameters["places"], height, width, (self.low, self.high), self.aspect_range, xp)

    def matrix(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, ...]:
        top, left, tall, wide = (parameters[name] for name in BOX)
        # The box's edges, not the middles of its outer pixels, meet the image's edges.
        return wide / width, 0.0, left + (wide - width) / 2, 0.0, tall / height, top + (tall - height) / 2


@dataclass(frozen=True)
class NearestBox(IndexMap):
    """Takes the pixels of a box that lie under the centres of the result's: a resized crop without interpolation.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
    """

    height: int
    width: int

    def rows(self, y: Any, parameters: Parameters, height: int, xp: Any) -> Any:
        return _under_centres(y, parameters["top"], parameters["box_height"] / self.height, xp)

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        return _under_centres(x, parameters["left"], parameters["box_width"] / self.width, xp)


def _under_centres(place: Any, start: Any, scale: Any, xp: Any) -> Any:
    return xp.cast(xp.floor(start + (xp.cast(place, "float32") + 0.5) * scale), "int32")

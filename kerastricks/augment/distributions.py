"""Distributions by uniform draws: numbers, the symmetric beta distribution, and boxes inside an image."""

import functools
import math
from typing import Any

import numpy as np
from scipy.special import betaincinv

from kerastricks.errors import SpecError


def between(uniforms: Any, low: float, high: float) -> Any:
    """Uniform in [low, high)."""
    return low + (high - low) * uniforms


def log_between(uniforms: Any, low: float, high: float, xp: Any) -> Any:
    """exp of a uniform in [log low, log high)."""
    return xp.exp(between(uniforms, math.log(low), math.log(high)))


def integer(uniforms: Any, low: Any, high: Any, xp: Any) -> Any:
    """An integer from `low` to `high` (int or int32 scalar), both possible, int32."""
    count = high - low + 1
    # A product with a float below 1 may round up to `count`.
    return low + xp.minimum(xp.cast(xp.floor(uniforms * xp.cast(count, "float32")), "int32"), count - 1)


def normal(uniforms: Any, stddev: float, xp: Any) -> Any:
    """Normal with mean 0, by the inverse of its distribution; up to 5.3 stddev, all that 24 bits can tell."""
    edge = 2.0**-24
    return stddev * math.sqrt(2) * xp.erfinv(2.0 * xp.clip(uniforms, edge, 1 - edge) - 1.0)


def sign(uniforms: Any, xp: Any) -> Any:
    """-1 or 1, as often."""
    return xp.where(uniforms < 0.5, -1.0, 1.0)


def chosen(uniforms: Any, rate: float) -> Any:
    """True with probability `rate`."""
    return uniforms < rate


def power(x: Any, exponent: Any, xp: Any) -> Any:
    """x^exponent for x of 0 or more, with the gradient 0 where x is 0: it would be infinite below exponent 1."""
    # Not ops.power, which takes three times as long under XLA on a CPU.
    return xp.where(x > 0, xp.exp(exponent * xp.log(xp.where(x > 0, x, 1.0))), 0.0)


CELLS = 4096

ALPHA_RANGE = (0.01, 100.0)


def check_alpha(name: str, alpha: float) -> None:
    """Raises SpecError outside the range in which the table is exact enough."""
    low, high = ALPHA_RANGE
    if not low <= alpha <= high:
        raise SpecError(f"{name}: alpha must be in [{low:g}, {high:g}]. Received: alpha={alpha}")


def symmetric_beta(uniforms: Any, alpha: float, xp: Any) -> Any:
    """Beta(alpha, alpha) by its inverse distribution, within 2e-5; 1 - u gives 1 minus what u gives.

    The inverse is tabulated up to the median, in steps of u^(1 / alpha) where alpha is above 1: by u it would be
    infinitely steep at 0.
    """
    folded = 2.0 * xp.minimum(uniforms, 1.0 - uniforms)
    place = (folded if alpha <= 1 else power(folded, 1 / alpha, xp)) * CELLS
    cell = xp.minimum(xp.floor(place), CELLS - 1.0)
    table = xp.convert_to_tensor(_inverse(alpha), "float32")
    index = xp.cast(cell, "int32")
    low, high = xp.take(table, index, axis=0), xp.take(table, index + 1, axis=0)
    value = low + (place - cell) * (high - low)
    return xp.where(uniforms < 0.5, value, 1.0 - value)


@functools.lru_cache(maxsize=32)
def _inverse(alpha: float) -> np.ndarray:
    steps = np.linspace(0, 1, CELLS + 1) ** max(alpha, 1.0)
    return betaincinv(alpha, alpha, steps / 2).astype("float32")


ATTEMPTS = 10


def drawn_box(
    attempts: Any,
    places: Any,
    height: Any,
    width: Any,
    area_range: tuple[float, float],
    aspect_range: tuple[float, float],
    xp: Any,
) -> tuple[Any, Any, Any, Any]:
    """First of several boxes that fits, at a uniform position; else the largest centred one of an allowed aspect.

    Args:
        attempts: (batch, n, 2), uniform in [0, 1): area and aspect of each.
        places: (batch, 2), uniform in [0, 1): row and column.
        height: of the images in pixels, a number or (batch,).
        width: likewise.
        area_range: as a fraction of the image's; uniform.
        aspect_range: of width / height in pixels; log-uniform.
        xp: `keras.ops`, or a namespace with the same functions.

    Returns:
        top, left, height, width, each (batch,) float32 of whole pixels.
    """
    attempts, places = xp.cast(attempts, "float32"), xp.cast(places, "float32")
    height, width = (xp.reshape(xp.cast(side, "float32"), (-1, 1)) for side in (height, width))
    (low_area, high_area), (low, high) = area_range, aspect_range
    area = (low_area + (high_area - low_area) * attempts[..., 0]) * height * width
    aspect = xp.exp(math.log(low) + (math.log(high) - math.log(low)) * attempts[..., 1])
    heights = xp.maximum(xp.round(xp.sqrt(area / aspect)), 1.0)
    widths = xp.maximum(xp.round(xp.sqrt(area * aspect)), 1.0)
    fits = xp.cast(xp.logical_and(heights <= height, widths <= width), "float32")
    first = xp.one_hot(xp.argmax(fits, axis=1), attempts.shape[1])
    any_fits = xp.max(fits, axis=1, keepdims=True) > 0
    fallback = largest_box(height, width, xp.clip(width / height, low, high), xp)
    box_height, box_width = (
        xp.where(any_fits, xp.sum(sides * first, axis=1, keepdims=True), largest)
        for sides, largest in zip((heights, widths), fallback, strict=True)
    )
    top, left = (
        xp.minimum(xp.where(any_fits, xp.floor(places[:, i : i + 1] * (room + 1)), xp.floor(room / 2)), room)
        for i, room in enumerate((height - box_height, width - box_width))
    )
    return top[:, 0], left[:, 0], box_height[:, 0], box_width[:, 0]


def largest_box(height: Any, width: Any, aspect: Any, xp: Any) -> tuple[Any, Any]:
    """Height and width of the largest box of an aspect (width / height) in an image, in whole pixels."""
    box_height = xp.minimum(xp.maximum(xp.round(width / aspect), 1.0), height)
    box_width = xp.minimum(xp.maximum(xp.round(height * aspect), 1.0), width)
    return box_height, box_width


def centred_box(height: Any, width: Any, aspect: float, xp: Any) -> tuple[Any, Any, Any, Any]:
    """top, left, height, width of the largest box of an aspect, in the middle, as float32 scalars of whole pixels."""
    height, width = xp.cast(height, "float32"), xp.cast(width, "float32")
    box_height, box_width = largest_box(height, width, aspect, xp)
    return xp.floor((height - box_height) / 2), xp.floor((width - box_width) / 2), box_height, box_width


def resize_boxes(images: Any, boxes: Any, size: tuple[int, int], xp: Any) -> Any:
    """Boxes of images, resized bilinearly; where that shrinks it averages (antialiasing, as Pillow does).

    Args:
        images: (batch, height, width, channels), any dtype.
        boxes: float32 (batch, 4): top, left, height, width in whole pixels.
        size: (height, width) of the result.
        xp: `keras.ops`, or a namespace with the same functions.

    Returns:
        float32 (batch, *size, channels).
    """
    # Two small matrices per image. With the channels before the rows the products are plain and batched, which
    # every backend does fast; the gathers that bilinear sampling would take cannot average where it shrinks.
    # A GPU that rounds factors to TF32 (TensorFlow's and JAX's default) is off by at most 0.4 of 255.
    rows, columns = xp.shape(images)[1:3]
    top, left, heights, widths = (boxes[:, i : i + 1] for i in range(4))
    planes = xp.transpose(xp.cast(images, "float32"), (0, 3, 1, 2))
    from_rows = _shares(top, heights, rows, size[0], xp)[:, None]
    from_columns = _shares(left, widths, columns, size[1], xp)[:, None]
    resized = xp.matmul(xp.matmul(from_rows, planes), xp.transpose(from_columns, (0, 1, 3, 2)))
    return xp.transpose(resized, (0, 2, 3, 1))


def _shares(start: Any, length: Any, side: Any, out: int, xp: Any) -> Any:
    """(batch, out, side): the share of each old pixel of a line in each new one; a row sums to 1.

    A triangle about the new pixel's centre, one old pixel wide on each side, or one new pixel where that is more.
    Pixels outside the box have no share.
    """
    pixels = xp.arange(side, dtype="float32") + 0.5
    centres = start + (xp.arange(out, dtype="float32") + 0.5) * (length / out)
    triangle = 1.0 - xp.abs(pixels - centres[:, :, None]) / xp.maximum(length / out, 1.0)[:, :, None]
    inside = xp.logical_and(pixels > start, pixels < start + length)[:, None, :]
    shares = xp.where(inside, xp.maximum(0.0, triangle), 0.0)
    return shares / xp.sum(shares, axis=2, keepdims=True)

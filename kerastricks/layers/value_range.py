"""What the colour layers ask of pixels: their range, their dtype, their channels."""

from typing import Any

import keras
import numpy as np


def check_value_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """Returns (low, high) as floats; ValueError where it is empty or not finite."""
    if np.shape(value_range) != (2,) or not np.isfinite(value_range).all() or not value_range[0] < value_range[1]:
        raise ValueError(f"value_range must be (low, high) with low < high. Received: value_range={value_range}")
    return float(value_range[0]), float(value_range[1])


def check_channels(channels: str) -> str:
    """Returns the order of the channels; ValueError where there is no such order."""
    if channels not in ("rgb", "bgr"):
        raise ValueError(f'channels must be "rgb" or "bgr". Received: channels={channels!r}')
    return channels


def check_dtype(dtype: Any, value_range: tuple[float, float], layer: str) -> None:
    """ValueError for integer pixels and a range like [0, 1]: 0..255 would be taken for 255 times white."""
    low, high = value_range
    dtype = keras.backend.standardize_dtype(dtype)
    if high - low <= 2 and keras.backend.is_int_dtype(dtype):
        raise ValueError(
            f"{layer} with value_range={value_range} needs float images: integer pixels hardly fit into it. "
            f"Received: {dtype}; give value_range=(0, 255), or scale the images first"
        )


def check_colour_shape(
    shape: tuple[int | None, ...], layer: str, dtype: str = "images", channels: tuple[int | None, ...] = (3, None)
) -> None:
    """ValueError for what cannot be a batch of three channels; None is a number that is not known yet."""
    if len(shape) != 4 or shape[-1] not in channels:
        raise ValueError(
            f"{layer} needs images (batch, height, width, 3). Received: {dtype} of shape {tuple(shape)}; "
            "make batches, and take the layer out for images without colour"
        )


def check_colour_images(images: Any, value_range: tuple[float, float], layer: str) -> None:
    """ValueError for images that are not a batch of three channels, or integers in a range like [0, 1]."""
    shape, dtype = tuple(images.shape), keras.backend.standardize_dtype(images.dtype)
    check_colour_shape(shape, layer, dtype, channels=(3,))  # one channel of a graph would be broadcast to three
    check_dtype(dtype, value_range, layer)

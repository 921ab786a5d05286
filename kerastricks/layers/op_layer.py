"""Base of the layers that are one op of `kerastricks.augment`, and the checks of their images.

The layer draws and checks; the op is the trick.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from kerastricks.augment.op import Draws, Op, Parameters


class OpLayer(keras.layers.Layer):
    """Applies an op in training, with draws of its own for each image.

    Attributes:
        arguments: the constructor's, which `get_config` saves beside `seed`.

    Args:
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.
    """

    arguments: ClassVar[Sequence[str]] = ()

    def __init__(self, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def draw_parameters(self, op: Op, batch: Any) -> Parameters:
        """The op's parameters for `batch` images, by the next draws of the layer's generator."""
        uniforms = keras.random.uniform((batch, op.uniforms), dtype="float32", seed=self.seed_generator)
        return op.parameters(Draws(uniforms), ops)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in (*self.arguments, "seed")}}


class ColourLayer(OpLayer):
    """Changes the colours of images with three channels in training; the identity in inference.

    Args:
        value_range: (low, high) of the pixels.
        channels: order of the images' channels, "rgb" or "bgr".
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.
    """

    def __init__(self, value_range: tuple[float, float], channels: str, seed: int | None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.value_range = check_value_range(value_range)
        self.channels = check_channels(channels)

    @abstractmethod
    def change(self, images: Any) -> Any:
        """The images under new draws, in the compute dtype."""

    def call(self, images: Any, training: bool = False) -> Any:
        check_colour_images(images, self.value_range, type(self).__name__)
        return self.change(images) if training else ops.cast(images, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        check_colour_shape(input_shape, type(self).__name__)
        return input_shape


def check_batch(shape: Any, layer: str) -> None:
    """Raises ValueError for a shape that is not a batch of images."""
    if len(shape) != 4:
        raise ValueError(
            f"{layer} needs images (batch, height, width, channels). Received: shape {tuple(shape)}; make batches"
        )


def check_value_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """Returns (low, high) as floats; raises ValueError where it is empty or not finite."""
    if np.shape(value_range) != (2,) or not np.isfinite(value_range).all() or not value_range[0] < value_range[1]:
        raise ValueError(f"value_range must be (low, high) with low < high. Received: value_range={value_range}")
    return float(value_range[0]), float(value_range[1])


def check_channels(channels: str) -> str:
    """Returns the order of the channels; raises ValueError for an unknown one."""
    if channels not in ("rgb", "bgr"):
        raise ValueError(f'channels must be "rgb" or "bgr". Received: channels={channels!r}')
    return channels


def check_dtype(dtype: Any, value_range: tuple[float, float], layer: str) -> None:
    """Raises ValueError for integer pixels and a range like [0, 1]: 0..255 would be taken for 255 times white."""
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
    """Raises ValueError for a shape that is not a batch with three channels; None is a size not known yet."""
    if len(shape) != 4 or shape[-1] not in channels:
        raise ValueError(
            f"{layer} needs images (batch, height, width, 3). Received: {dtype} of shape {tuple(shape)}; "
            "make batches, and take the layer out for images without colour"
        )


def check_colour_images(images: Any, value_range: tuple[float, float], layer: str) -> None:
    """Raises ValueError for images without three channels, or integers in a range like [0, 1]."""
    shape, dtype = tuple(images.shape), keras.backend.standardize_dtype(images.dtype)
    check_colour_shape(shape, layer, dtype, channels=(3,))  # one channel of a graph would be broadcast to three
    check_dtype(dtype, value_range, layer)

"""Pixels of one size and number of channels as those that a network takes."""

from collections.abc import Collection
from typing import Any

import keras
from keras import ops

from kerastricks.errors import ConfigError
from kerastricks.models.head import free_name


def adapt_pixels(inputs: Any, wanted: tuple[int, int, int], taken: Collection[str] = ()) -> Any:
    """Makes symbolic images those of a network: grey is repeated, colour averaged to luma, the size changed.

    Args:
        inputs: symbolic, (batch, height, width, channels).
        wanted: (height, width, channels) that the network takes.
        taken: names of layers that are not used again.

    Returns:
        Symbolic, (batch, *wanted).

    Raises:
        ConfigError: for numbers of channels other than 1 and 3 that differ.
    """
    height, width, channels = inputs.shape[1:]
    x = inputs
    if (channels, wanted[2]) == (1, 3):
        x = keras.layers.Concatenate(name=free_name("to_rgb", taken))([x, x, x])
    elif (channels, wanted[2]) == (3, 1):
        x = ops.image.rgb_to_grayscale(x)
    elif channels != wanted[2]:
        raise ConfigError(f"images have {channels} channels and the backbone takes {wanted[2]}")
    if (height, width) != wanted[:2]:
        # float32: bfloat16 has no room for 256 values.
        name = free_name("resizing", taken)
        x = keras.layers.Resizing(*wanted[:2], antialias=True, crop_to_aspect_ratio=True, dtype="float32", name=name)(x)
    return x

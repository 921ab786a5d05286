"""Spatial pyramid pooling: features of one length from maps of any size."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerastricks")
class SpatialPyramidPooling(keras.layers.Layer):
    """Takes the largest value of each channel in each cell of several grids over the maps, concatenated.

    Dense layers after it get the same number of features from images of any size, and know roughly where something
    was, which an average over the whole map forgets. It hurts where there are few images: the dense layer after 50 or
    63 cells has as many times the weights. Training and inference do the same.

    Args:
        levels: cells along each side of the grids, 1 or more each. A grid finer than the maps has cells that overlap.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        maps: float, (batch, height, width, channels); height and width may be unknown.

    Returns:
        (batch, channels * sum of the squares of the levels): grid by grid, each in the order (row, column, channel).

    Raises:
        ValueError: for no levels, one below 1, another rank, or an unknown number of channels.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.SpatialPyramidPooling((2, 1))
        >>> layer(numpy.arange(16.0).reshape(1, 4, 4, 1)).numpy().tolist()
        [[5.0, 7.0, 13.0, 15.0, 15.0]]

    Reference:
        He, Zhang, Ren, Sun: Spatial Pyramid Pooling in Deep Convolutional Networks, ECCV 2014, arXiv 1406.4729, section
        2.2: cell i of n of a side of a pixels goes from floor(i a / n) to ceil((i + 1) a / n).
        `keras.layers.AdaptiveMaxPooling2D` has the same cells, and gives NaN on JAX where n divides a (Keras 3.15.1).
    """

    def __init__(self, levels: Sequence[int] = (6, 3, 2, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not levels or any(isinstance(level, bool) or not isinstance(level, int) or level < 1 for level in levels):
            raise ValueError(f"levels must be 1 or more whole numbers, each 1 or more. Received: levels={levels!r}")
        self.levels = tuple(levels)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "SpatialPyramidPooling needs maps (batch, height, width, channels) with known channels. "
                f"Received: shape {tuple(input_shape)}"
            )
        self.built = True

    def call(self, maps: Any) -> Any:
        channels = maps.shape[-1]
        grids = [
            ops.reshape(_cells(_cells(maps, level, 1), level, 2), (-1, level * level * channels))
            for level in self.levels
        ]
        return ops.concatenate(grids, axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], sum(level**2 for level in self.levels) * (input_shape[-1] or 0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": list(self.levels)}


def _cells(maps: Any, count: int, axis: int) -> Any:
    """The largest value of each of `count` cells along the rows (axis 1) or the columns (axis 2)."""
    size = ops.shape(maps)[axis]
    bounds = [(i * size // count, ((i + 1) * size + count - 1) // count) for i in range(count)]
    parts = [maps[:, start:stop] if axis == 1 else maps[:, :, start:stop] for start, stop in bounds]
    return ops.concatenate([ops.max(part, axis=axis, keepdims=True) for part in parts], axis=axis)

"""Scaling of each dimension to one range."""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from kerastricks.layers.adapting import AdaptingLayer


class Extremes:
    """Collects the minimum and maximum of each column of rows that arrive in batches; partial results merge."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.count = 0
        self.minimum = np.full(dimensions, np.inf)
        self.maximum = np.full(dimensions, -np.inf)

    def update(self, rows: np.ndarray) -> None:
        """Adds rows (N, dimensions)."""
        if len(rows):
            columns = np.ascontiguousarray(rows.T)  # many times faster along the memory, for three channels
            self.count += len(rows)
            self.minimum = np.minimum(self.minimum, columns.min(axis=1))
            self.maximum = np.maximum(self.maximum, columns.max(axis=1))

    def merge(self, other: "Extremes") -> None:
        """Adds what another one has collected, which keeps it."""
        self.count += other.count
        self.minimum = np.minimum(self.minimum, other.minimum)
        self.maximum = np.maximum(self.maximum, other.maximum)


@keras.saving.register_keras_serializable(package="kerastricks")
class RangeScaling(AdaptingLayer):
    """Maps each dimension linearly, its minimum to one end of a range and its maximum to the other.

    It puts dimensions of different units on one scale. It only makes sense where they are about equally
    important; 8-bit images have one scale already, and one outlier decides the range: there `Centering` is
    the better choice. New values outside the training set's range come out outside `output_range`: nothing is
    clipped. A dimension that is constant in the training set always comes out as the middle. Training and
    inference do the same.

    `adapt(data)` learns minimum and maximum from the training images only: an array, or any iterable of
    batches or of (images, labels), a `tf.data.Dataset` among them, in one pass. Parts that several processes
    have seen with `update_state` are joined by `merge_state` and `finalize_state`. What was learned are weights
    that no optimizer touches, saved with the model.

    Args:
        per: "channel", one range for each channel; "pixel", one for each channel of each place, which fixes
            height and width.
        output_range: (low, high) of the training set's outputs.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: float or integer, (batch, height, width, channels) or (batch, features).

    Returns:
        The same shape, in the layer's compute dtype; the arithmetic is in float32 or better.

    Raises:
        ValueError: for an unknown `per`, an empty `output_range`, inputs of another rank, size or number of
            channels, a use before `adapt`, and data to adapt to that are empty, endless or not finite.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.RangeScaling()
        >>> layer.adapt(numpy.array([[0.0, 5.0], [10.0, 5.0]]))
        >>> layer(numpy.array([[5.0, 5.0], [10.0, 5.0]])).numpy().tolist()
        [[0.0, 0.0], [1.0, 0.0]]

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 2: "-1 and 1". Deviation: the notes do
        not say what a constant dimension becomes.
    """

    def __init__(
        self,
        per: Literal["channel", "pixel"] = "channel",
        output_range: tuple[float, float] = (-1.0, 1.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if per not in ("channel", "pixel"):
            raise ValueError(f'per must be "channel" or "pixel". Received: per={per!r}')
        if np.shape(output_range) != (2,) or not -np.inf < output_range[0] < output_range[1] < np.inf:
            raise ValueError(f"output_range must be (low, high) with low < high. Received: output_range={output_range}")
        self.per = per
        self.output_range = tuple(output_range)
        self.fixed_size = per == "pixel"

    def create_statistics(self, dimensions: int) -> Extremes:
        return Extremes(dimensions)

    def create_weights(self) -> None:
        self.minimum = self.add_statistic("minimum", self.statistics_shape)
        self.maximum = self.add_statistic("maximum", self.statistics_shape)

    def assign_weights(self, statistics: Extremes) -> None:
        self.minimum.assign(np.reshape(statistics.minimum, self.statistics_shape))
        self.maximum.assign(np.reshape(statistics.maximum, self.statistics_shape))

    def transform(self, x: Any) -> Any:
        low, high = self.output_range
        span = self.maximum - self.minimum
        scale = ops.where(span > 0, (high - low) / ops.where(span > 0, span, 1.0), 0.0)
        return (x - (self.minimum + span / 2)) * scale + (low + high) / 2

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "per": self.per, "output_range": self.output_range}

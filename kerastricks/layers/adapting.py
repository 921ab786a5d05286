"""Base of the layers that are adapted to the training data: statistics become non-trainable weights."""

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

import keras
import numpy as np
from keras import ops

from kerastricks.augment.colour_statistics import batches
from kerastricks.keras_graph import all_layers

BLOCK_VALUES = 2**22  # converted to float64 at a time: 32 MB


class Statistics(Protocol):
    """Collects rows (N, dimensions) in NumPy on the host; can be pickled and sent to another process."""

    dimensions: int

    @property
    def count(self) -> int:
        """Rows seen."""

    def update(self, rows: np.ndarray) -> None:
        """Adds rows, float64."""

    def merge(self, other: Any) -> None:
        """Adds what another one has collected."""


class SampleCount(keras.Variable):
    """Weight that counts the rows a layer was adapted to.

    A compiled function cannot look at a value. So every assignment (`adapt`, a file that is loaded,
    `set_weights`) leaves a note in Python whether there was anything.
    """

    def __init__(self) -> None:
        self.positive = False
        super().__init__("zeros", shape=(), dtype="int32", trainable=False, autocast=False, name="count")

    def assign(self, value: Any) -> Any:
        assigned = super().assign(value)
        try:
            self.positive = int(ops.convert_to_numpy(assigned)) > 0
        except Exception:  # each backend has its own for a value that is not there yet, while it compiles
            return assigned
        return assigned


class AdaptingLayer(keras.layers.Layer):
    """A layer whose weights are statistics of the training data; a subclass says which.

    `fixed_size`: each place of the image has its own, so that height and width are fixed. `learns`: there is
    something to adapt. `create_statistics(dimensions)`, `create_weights()`, `assign_weights(statistics)` and
    `transform(x)` are the work.
    """

    fixed_size: bool = True
    learns: bool = True
    max_dimensions: ClassVar[int | None] = None

    def __init__(self, **kwargs: Any) -> None:
        # Without autocast: the inputs arrive as exact as they are, since 0 to 255 has no room in bfloat16.
        super().__init__(autocast=False, **kwargs)
        self.statistics: Statistics | None = None
        self.statistics_shape: tuple[int, ...] = ()

    @property
    def is_adapted(self) -> bool:
        """Whether the weights are those of some data: adapted, loaded or set."""
        return not self.learns or (self.built and self.count.positive)

    def adapt(self, data: Any) -> None:
        """Learns from the training images, in one pass; a second call starts afresh.

        Args:
            data: an array, or an iterable of batches: arrays, or tuples with the images first.
        """
        self.reset_state()
        try:
            for batch in batches(data):
                self.update_state(batch)
            self.finalize_state()
        finally:
            self.reset_state()

    def reset_state(self) -> None:
        """Drops what was collected; the weights stay."""
        self.statistics = None

    def update_state(self, batch: Any) -> None:
        """Collects one batch; `finalize_state` then sets the weights.

        Args:
            batch: (batch, height, width, channels) or (batch, features).
        """
        self._check_learns()
        images = batch if hasattr(batch, "shape") else np.asarray(batch)
        shape = tuple(images.shape)
        self._check_shape(shape, "data")
        if not self.built:
            self.build((None, *shape[1:]))
        statistics = self._current_statistics()
        step = max(1, BLOCK_VALUES // max(1, int(np.prod(shape[1:]))))
        for start in range(0, shape[0], step):
            block = _to_numbers(images[start : start + step])
            finite = np.isfinite(block).all(axis=tuple(range(1, block.ndim)))
            if not finite.all():
                raise ValueError(
                    "data must be finite: take out or replace what has NaN or infinity. "
                    f"Received: one in image {start + int(np.argmin(finite))} of {shape[0]}"
                )
            statistics.update(block.reshape(-1, statistics.dimensions))

    def merge_state(self, layers: Iterable[Any]) -> None:
        """Adds what other layers have collected with `update_state`; `finalize_state` then sets the weights.

        Args:
            layers: layers of the same kind, or their `statistics` (which can be sent between processes).
        """
        self._check_learns()
        for other in layers:
            if not self.built and isinstance(other, AdaptingLayer) and other.built:
                self.build((None, *other.statistics_shape))
            statistics: Any = other.statistics if isinstance(other, AdaptingLayer) else other
            if not self.built:
                raise ValueError(
                    f"layers must be layers while {self.name!r} is not built: build it first to merge statistics. "
                    f"Received: {type(other).__name__}"
                )
            own = self._current_statistics()
            if not isinstance(statistics, type(own)) or statistics.dimensions != own.dimensions:
                found = f"of {statistics.dimensions} values" if hasattr(statistics, "dimensions") else "with nothing"
                raise ValueError(
                    f"layers must have collected {type(own).__name__} of {own.dimensions} values with update_state "
                    f"(adapt drops what it collects). Received: {type(other).__name__} {found}"
                )
            own.merge(statistics)

    def finalize_state(self) -> None:
        """Sets the weights from what was collected, which stays until `reset_state` or `adapt`."""
        self._check_learns()
        if self.statistics is None or not self.statistics.count:
            raise ValueError(f"data must hold at least one image to adapt {self.name!r}. Received: no images")
        self.assign_weights(self.statistics)
        self.count.assign(min(self.statistics.count, 2**31 - 1))

    def create_statistics(self, dimensions: int) -> Statistics:
        raise NotImplementedError

    def create_weights(self) -> None:
        raise NotImplementedError

    def assign_weights(self, statistics: Any) -> None:
        raise NotImplementedError

    def transform(self, x: Any) -> Any:
        raise NotImplementedError

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._check_shape(input_shape, "inputs")
        if self.learns:
            self.statistics_shape = tuple(input_shape[1:] if self.fixed_size else input_shape[-1:])  # type: ignore[arg-type]
            self.create_weights()
            self.count = SampleCount()
        self.built = True

    def add_statistic(self, name: str, shape: tuple[int, ...]) -> Any:
        """A weight that no optimizer touches, in float32 or better under any policy."""
        dtype = "float64" if self.variable_dtype == "float64" else "float32"
        return self.add_weight(
            name=name, shape=shape, initializer="zeros", trainable=False, dtype=dtype, autocast=False
        )

    def call(self, inputs: Any) -> Any:
        self._check_shape(tuple(inputs.shape), "inputs")
        if not self.is_adapted:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} was used before adapt: call "
                f"{self.name}.adapt(training images), or load weights. Received: inputs of shape {tuple(inputs.shape)}"
            )
        x = ops.cast(inputs, "float64" if self.compute_dtype == "float64" else "float32")
        return ops.cast(self.transform(x), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self._check_shape(input_shape, "inputs")
        return input_shape

    def _current_statistics(self) -> Statistics:
        statistics = self.statistics or self.create_statistics(int(np.prod(self.statistics_shape)))
        self.statistics = statistics
        return statistics

    def _check_learns(self) -> None:
        if not self.learns:
            raise ValueError(f"{self.name!r} learns nothing from data: use it without adapt. Received: a call to adapt")

    def _check_shape(self, shape: tuple[int | None, ...], argument: str) -> None:
        received = f"Received: shape {tuple(shape)} for {type(self).__name__} {self.name!r}"
        if len(shape) not in (2, 4):
            raise ValueError(f"{argument} must be (batch, height, width, channels) or (batch, features). {received}")
        if not self.learns:
            return
        shape = tuple(shape[1:] if self.fixed_size else shape[-1:])
        if None in shape:
            sizes = "height, width and channels" if self.fixed_size else "channels"
            raise ValueError(f"{argument} must have fixed {sizes}: give keras.Input the numbers. {received}")
        if self.max_dimensions is not None and int(np.prod(shape)) > self.max_dimensions:  # type: ignore[arg-type]
            raise ValueError(
                f"{argument} must have at most {self.max_dimensions} values per image, since the covariance has the "
                f"square of that: make the images smaller, or whiten patches or channels. {received}"
            )
        if self.built and shape != self.statistics_shape:
            kind = "images of shape" if self.fixed_size else "channels"
            raise ValueError(
                f"{argument} must have the {kind} the layer was built for, {self.statistics_shape}: "
                f"make a new layer for others. {received}"
            )


def _to_numbers(images: Any) -> np.ndarray:
    """A float64 array on the host, of whatever backend's integers or floats."""
    array = np.asarray(ops.convert_to_numpy(images))
    if array.dtype.kind not in "biufV":  # V: bfloat16
        raise ValueError(
            "data must be numbers, or tuples with the images first. "
            f"Received: {type(images).__name__} of dtype {array.dtype}"
        )
    return array.astype("float64")


def finish_adapting(layer: Any) -> None:
    """Recomputes the constants of all layers inside from their weights, after these were assigned.

    `keras.layers.Normalization` computes with constants that it makes when it is adapted or loaded, not with its
    weights: after `set_weights` it is still at mean 0 and variance 1.

    Args:
        layer: a layer or a model, built.
    """
    for inner in all_layers(layer):
        if hasattr(inner, "finalize_state"):
            inner.finalize_state()

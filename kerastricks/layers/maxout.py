"""Maxout: the maximum over groups of channels."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kerastricks")
class Maxout(keras.layers.Layer):
    """Replaces each group of k channels by their maximum, k = channels / units.

    Behind a dense layer or a convolution of `k * units` channels it is a learned convex activation: a unit can
    become a ReLU, an absolute value or a piecewise linear curve, and none saturates or dies. It multiplies the
    weights of the layer before it by k, and wants dropout. Training and inference do the same.

    Args:
        units: channels that are left; a divisor of the channels that come in.
        axis: of the channels; not the batch axis.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: float, any shape with a known number of channels.

    Returns:
        The same shape with `units` channels; unit i is the maximum over channels i, i + units, i + 2 units, ...

    Raises:
        ValueError: for `units` below 1 or that do not divide the channels, or an axis the input has not.

    Example:
        >>> import kerastricks, numpy
        >>> kerastricks.layers.Maxout(2)(numpy.array([[1.0, 5.0, 2.0, 7.0, 0.0, 3.0]])).numpy().tolist()
        [[2.0, 7.0]]

    Reference:
        Goodfellow, Warde-Farley, Mirza, Courville, Bengio: Maxout Networks, ICML 2013, arXiv 1302.4389,
        section 3. Deviation: the affine map of the paper is the layer before it. The paper does not number the
        channels: they are grouped as in tensorflow-addons, so that its models keep their kernels.
    """

    def __init__(self, units: int, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(units, bool) or not isinstance(units, int | np.integer) or units < 1:
            raise ValueError(f"units must be an integer, 1 or more. Received: units={units!r}")
        if axis == 0:
            raise ValueError("axis must be that of the channels, not the batch's. Received: axis=0")
        self.units = int(units)
        self.axis = axis

    def _channels(self, shape: tuple[int | None, ...]) -> tuple[int, int]:
        """The axis counted from the front, and the number of its channels."""
        axis = self.axis if self.axis > 0 else len(shape) + self.axis
        if not 0 < axis < len(shape):
            raise ValueError(f"axis={self.axis} must be an axis of the input. Received: shape {tuple(shape)}")
        channels = shape[axis]
        if channels is None or channels % self.units:
            raise ValueError(
                f"the channels of the input must be known and a multiple of units={self.units}. "
                f"Received: {channels} channels on axis {axis} of shape {tuple(shape)}"
            )
        return axis, channels

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._channels(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        axis, channels = self._channels(tuple(inputs.shape))
        shape = ops.shape(inputs)
        grouped = (*shape[:axis], channels // self.units, self.units, *shape[axis + 1 :])
        return ops.max(ops.reshape(inputs, grouped), axis=axis)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        axis, _ = self._channels(input_shape)
        return (*input_shape[:axis], self.units, *input_shape[axis + 1 :])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "axis": self.axis}

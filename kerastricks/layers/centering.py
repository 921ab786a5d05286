"""Zero-centring of images, per channel, per pixel or per image."""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from kerastricks.layers.adapting import AdaptingLayer
from kerastricks.layers.streaming import StreamingMoments


@keras.saving.register_keras_serializable(package="kerastricks")
class Centering(AdaptingLayer):
    """Subtracts a mean, and divides by the standard deviation if asked to.

    Inputs around zero, of a like spread, make the loss as steep in one direction as in another, so that one
    learning rate fits all weights. Per channel is what convolutions want, since it treats all places alike;
    per pixel (the mean image) fits images that are aligned, as digits are, and fixes height and width; per
    image takes away the brightness, and with it any class that depends on it. Training and inference do the
    same.

    `adapt(data)` learns the mean and the standard deviation from the training images only, never from those
    of validation or test: an array, or any iterable of batches or of (images, labels), a `tf.data.Dataset`
    among them, in one pass. Parts that several processes have seen with `update_state` are joined by
    `merge_state` and `finalize_state`. What was learned are weights that no optimizer touches, saved with the
    model.

    Args:
        per: "channel", one mean for each channel; "pixel", one for each channel of each place; "image", one
            number for each image, over all its places and channels, which needs no `adapt`.
        divide_by_std: whether the result is divided by the standard deviation over the same values.
        epsilon: a standard deviation not above it, in the unit of the inputs, belongs to a constant, which is
            centred and not divided.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: float or integer, (batch, height, width, channels) or (batch, features).

    Returns:
        The same shape, in the layer's compute dtype; the arithmetic is in float32 or better.

    Raises:
        ValueError: for an unknown `per`, an `epsilon` below 0, inputs of another rank, size or number of
            channels, a use before `adapt`, and data to adapt to that are empty, endless or not finite.

    Example:
        >>> import kerastricks, numpy
        >>> images = numpy.random.default_rng(0).uniform(0, 255, (16, 8, 8, 3))
        >>> layer = kerastricks.layers.Centering(divide_by_std=True)
        >>> layer.adapt(images)
        >>> bool(abs(numpy.mean(layer(images))) < 1e-5)
        True

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 2; the mean image: Krizhevsky,
        Sutskever, Hinton, NeurIPS 2012, section 2. Deviation: what is constant is not divided.
    """

    def __init__(
        self,
        per: Literal["channel", "pixel", "image"] = "channel",
        divide_by_std: bool = False,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if per not in ("channel", "pixel", "image"):
            raise ValueError(f'per must be "channel", "pixel" or "image". Received: per={per!r}')
        if not epsilon >= 0:
            raise ValueError(f"epsilon must be 0 or more. Received: epsilon={epsilon}")
        self.per = per
        self.divide_by_std = divide_by_std
        self.epsilon = epsilon
        self.fixed_size = per == "pixel"
        self.learns = per != "image"

    def create_statistics(self, dimensions: int) -> StreamingMoments:
        return StreamingMoments(dimensions)

    def create_weights(self) -> None:
        self.mean = self.add_statistic("mean", self.statistics_shape)
        if self.divide_by_std:
            self.std = self.add_statistic("std", self.statistics_shape)

    def assign_weights(self, statistics: StreamingMoments) -> None:
        self.mean.assign(np.reshape(statistics.mean, self.statistics_shape))
        if self.divide_by_std:
            self.std.assign(np.reshape(statistics.std, self.statistics_shape))

    def transform(self, x: Any) -> Any:
        if self.per == "image":
            axes = tuple(range(1, len(x.shape)))
            x = x - ops.mean(x, axis=axes, keepdims=True)
            x = x - ops.mean(x, axis=axes, keepdims=True)  # what the first one's rounding has left
            std = ops.sqrt(ops.mean(ops.square(x), axis=axes, keepdims=True)) if self.divide_by_std else None
        else:
            x = x - self.mean
            std = ops.convert_to_tensor(self.std) if self.divide_by_std else None
        return x if std is None else x / ops.where(std > self.epsilon, std, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "per": self.per,
            "divide_by_std": self.divide_by_std,
            "epsilon": self.epsilon,
        }

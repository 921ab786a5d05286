"""Shortcut without weights, of the CIFAR residual networks."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerastricks")
class PadShortcut(keras.layers.Layer):
    """Takes every `strides`-th pixel and appends channels of zeros until there are `filters`.

    It lets a residual block change its size without weights in the identity path: nothing to train, nothing
    to decay. Training and inference do the same.

    Args:
        filters: channels of the output; at least those of the input.
        strides: 1 or more, in pixels, for height and width.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        images: float, (batch, height, width, channels).

    Returns:
        (batch, ceil(height / strides), ceil(width / strides), filters), the same dtype.

    Raises:
        ValueError: for `strides` below 1, another rank, or fewer filters than channels.

    Example:
        >>> import kerastricks, numpy
        >>> kerastricks.layers.PadShortcut(8, strides=2)(numpy.ones((1, 4, 4, 3))).shape
        TensorShape([1, 2, 2, 8])

    Reference:
        He et al.: Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2, option A. Deviation:
        the zeros are appended after the last channel, as in the authors' code, where the paper does not say.
    """

    def __init__(self, filters: int, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if strides < 1:
            raise ValueError(f"strides must be 1 or more. Received: strides={strides}")
        self.filters = filters
        self.strides = strides

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 4:
            raise ValueError(
                f"PadShortcut needs images (batch, height, width, channels). Received: shape {tuple(input_shape)}"
            )
        if self.filters < (input_shape[-1] or 0):
            raise ValueError(
                f"filters must be at least the {input_shape[-1]} channels of the input. "
                f"Received: filters={self.filters}"
            )
        self.built = True

    def call(self, images: Any) -> Any:
        missing = self.filters - images.shape[-1]
        strided = images[:, :: self.strides, :: self.strides, :]
        return ops.pad(strided, [(0, 0), (0, 0), (0, 0), (0, missing)])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, _ = input_shape

        def shorter(side: int | None) -> int | None:
            return None if side is None else -(-side // self.strides)

        return (batch, shorter(height), shorter(width), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}

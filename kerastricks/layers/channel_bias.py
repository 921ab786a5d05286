"""Learned bias per channel."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerastricks")
class ChannelBias(keras.layers.Layer):
    """Adds a trainable number to each channel.

    It is the bias of a convolution as a layer of its own: a convolution whose kernel is frozen, such as one that
    whitens patches, can be followed by a bias that trains. Behind a convolution with a bias, or in front of a batch
    normalisation, it does nothing. Training and inference do the same. Weight decay leaves it alone
    (`kerastricks.regularizers.undecayed`).

    Args:
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: float, (batch, ..., channels).

    Returns:
        The same shape and dtype.

    Raises:
        ValueError: for an unknown number of channels.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.ChannelBias()
        >>> layer(numpy.ones((1, 4, 4, 3))).shape
        TensorShape([1, 4, 4, 3])
        >>> layer.count_params()
        3

    Reference:
        Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv 2404.00498, section 3.1: the whitening
        convolution is frozen and its bias is not. Deviation: there it is frozen after three epochs, here it trains to
        the end.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if not input_shape[-1]:
            raise ValueError(
                f"ChannelBias needs a known number of channels, the last axis. Received: shape {tuple(input_shape)}"
            )
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs + ops.cast(self.bias, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

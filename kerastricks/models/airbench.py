"""The network of the fastest published trainings on CIFAR-10.

Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv 2404.00498, section 3 and listing 4, "airbench94": a
frozen 2x2 convolution that whitens patches, with a bias that trains; three blocks of two 3x3 convolutions, the first
pooled at once, which makes the rest of the block four times cheaper; batch normalisation without factor, of momentum
0.6 as Keras counts it (0.4 in PyTorch's sense: the share of the new batch) and epsilon 1e-12; GELU; convolutions that
start as the identity; the outputs divided by 9.

Deviations: the 1/9 is applied to the features, and the last layer has a bias, which is not divided, and starts as Keras
does (`create` puts it there); the pooling over the last 3x3 pixels is one over all pixels, the same for 32x32 images;
the bias of the whitening trains to the end, where the paper freezes it after three epochs. Its optimizer, the rate of
its normalisation's offsets (64 times the others') and its augmentation are no part of the model.
"""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.initializers.patch_whitening import PatchWhitening
from kerastricks.layers.channel_bias import ChannelBias
from kerastricks.models.options import ModelOptions


def airbench(
    x: Any,
    widths: Sequence[int] = (64, 256, 256),
    scale: float = 1 / 9,
    activation: str = "gelu",
    initializer: Any = "dirac",
    regularizer: Any = None,
    dropout: float = 0.0,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels), 9 pixels or more.
        widths: filters of each block; each halves the image.
        scale: factor of the features, and so of the logits but for their bias.
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: see `ModelOptions`.

    Returns:
        Features (batch, widths[-1]) and the options for the head.

    Raises:
        ValueError: for no blocks, or more than the image can be halved.
    """
    widths = tuple(widths)
    height, width, channels = x.shape[1:]
    if not widths or min(height, width) - 1 < 2 ** len(widths):
        raise ValueError(
            "widths must hold 1 block or more, and an image of 2^n + 1 pixels has room for n. "
            f"Received: widths={widths}, {height}x{width} pixels"
        )
    options = ModelOptions(activation, initializer, regularizer, dropout)
    x = keras.layers.Conv2D(
        2 * 4 * channels,
        2,
        use_bias=False,
        kernel_initializer=PatchWhitening(),
        trainable=False,
        name="whitening",
    )(x)
    x = ChannelBias(name="whitening_bias")(x)
    x = options.activate(x, "whitening_activation")
    for block, filters in enumerate(widths, start=1):
        for conv in (1, 2):
            x = options.convolve(x, filters, f"block{block}_conv{conv}")
            if conv == 1:
                x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
            x = keras.layers.BatchNormalization(
                momentum=0.6, epsilon=1e-12, scale=False, name=f"block{block}_norm{conv}"
            )(x)
            x = options.activate(x, f"block{block}_activation{conv}")
    x = keras.layers.GlobalMaxPooling2D(name="pool")(x)
    return keras.layers.Rescaling(scale, name="scale")(x), options

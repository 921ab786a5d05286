"""A plain convolutional network: 3x3 filters, stride 1, zero padding, 2x2 pooling, any depth.

Simonyan, Zisserman: Very Deep Convolutional Networks, ICLR 2015, for the shapes; Jordan, arXiv 2404.00498, for
the whitened first layer and the pooling right after the first convolution of a stage, which makes the rest of
the stage four times cheaper.
"""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.initializers.patch_whitening import PatchWhitening
from kerastricks.models.options import ModelOptions


def default_widths(height: int, width: int) -> tuple[int, ...]:
    """Filters per stage such that the last maps are 2 to 7 pixels wide: 8 px one stage, 32 px three."""
    stages = max(1, (min(height, width) // 4).bit_length() - 1)
    return (64, 192, 256, 256, 256, 256)[:stages]


def plain_cnn(
    x: Any,
    widths: Sequence[int] | None = None,
    convs_per_stage: int = 2,
    whitening: bool = True,
    activation: str = "relu",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.0,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        widths: filters of each stage; by default as many stages as the image has room for.
        convs_per_stage: 3x3 convolutions in each stage, 1 or more.
        whitening: whether a frozen 2x2 convolution that whitens patches comes first.
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: see `ModelOptions`.

    Returns:
        Features (batch, widths[-1]) and the options for the head.

    Raises:
        ValueError: for no stages, or more than the image can be halved.
    """
    height, image_width, channels = x.shape[1:]
    widths = tuple(widths) if widths is not None else default_widths(height, image_width)
    if not widths or convs_per_stage < 1 or min(height, image_width) < 2 ** len(widths):
        raise ValueError(
            "widths must hold 1 stage or more, and an image of 2^n pixels has room for n. "
            f"Received: widths={widths}, convs_per_stage={convs_per_stage}, {height}x{image_width} pixels"
        )
    options = ModelOptions(activation, initializer, regularizer, dropout)
    if whitening:
        x = keras.layers.Conv2D(
            2 * 4 * channels,
            2,
            padding="same",
            use_bias=False,
            kernel_initializer=PatchWhitening(),
            trainable=False,
            name="whitening",
        )(x)
        x = options.activate(x, "whitening_activation")
    for stage, filters in enumerate(widths, start=1):
        for conv in range(1, convs_per_stage + 1):
            x = options.convolve(x, filters, f"stage{stage}_conv{conv}")
            if conv == 1:
                x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"stage{stage}_norm{conv}")(x)
            x = options.activate(x, f"stage{stage}_activation{conv}")
    return keras.layers.GlobalAveragePooling2D(name="pool")(x), options

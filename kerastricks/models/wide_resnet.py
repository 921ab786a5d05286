"""Residual networks that are wide where others are deep.

Zagoruyko, Komodakis: Wide Residual Networks, BMVC 2016, arXiv 1605.07146, table 1: 6n + 4 layers, three stages of n
blocks with 16k, 32k and 64k filters; normalisation and activation before each convolution (He et al., Identity Mappings
in Deep Residual Networks, ECCV 2016), dropout between the two convolutions of a block (section 2.4).

As in the authors' code, a block that changes the number of filters has its 1x1 shortcut after the first normalisation
and activation, which both ways share.
"""

from typing import Any

import keras

from kerastricks.models.head import add_branch, drop_rates
from kerastricks.models.options import ModelOptions, check_dropout


def wide_resnet(
    x: Any,
    depth: int = 16,
    width: int = 8,
    stochastic_depth: float = 0.0,
    activation: str = "relu",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.0,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        depth: 6n + 4 layers.
        width: k: the stages have 16k, 32k and 64k filters.
        stochastic_depth: drop rate of the last block; it grows linearly with depth.
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: rate between the two convolutions of each block, 0.3 in the paper; none before the last layer.

    Returns:
        Features (batch, 64 * width) and the options for the head.

    Raises:
        ValueError: for a depth that is not 6n + 4, a width below 1, or a rate outside [0, 1).
    """
    if depth < 10 or (depth - 4) % 6 or width < 1:
        raise ValueError(
            f"depth must be 6n + 4: 10, 16, 22, 28, 40, and width 1 or more. Received: depth={depth}, width={width}"
        )
    rate = check_dropout(dropout)
    options = ModelOptions(activation, initializer, regularizer)
    blocks = (depth - 4) // 6
    rates = iter(drop_rates(3 * blocks, stochastic_depth))
    x = options.convolve(x, 16, "stem_conv")
    for stage in range(3):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            name = f"stage{stage + 1}_block{block + 1}"
            x = _block(x, 16 * width * 2**stage, strides, rate, next(rates), options, name)
    x = _activated(x, options, "last", "")
    return keras.layers.GlobalAveragePooling2D(name="pool")(x), options


def _block(
    x: Any, filters: int, strides: int, dropout: float, drop_rate: float, options: ModelOptions, name: str
) -> Any:
    shortcut, x = x, _activated(x, options, name, "1")
    if strides > 1 or x.shape[-1] != filters:
        shortcut = options.convolve(x, filters, f"{name}_shortcut", strides, kernel_size=1)
    x = options.convolve(x, filters, f"{name}_conv1", strides)
    x = _activated(x, options, name, "2")
    if dropout:
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = options.convolve(x, filters, f"{name}_conv2")
    return add_branch(shortcut, x, drop_rate, name)


def _activated(x: Any, options: ModelOptions, name: str, number: str) -> Any:
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm{number}")(x)
    return options.activate(x, f"{name}_activation{number}")

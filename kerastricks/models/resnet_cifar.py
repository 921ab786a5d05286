"""Residual networks for small images.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2: 6n + 2 layers, three
stages of n blocks with 16, 32 and 64 filters, shortcuts without weights (option A).
"""

from typing import Any

import keras

from kerastricks.layers.pad_shortcut import PadShortcut
from kerastricks.models.head import add_branch, drop_rates
from kerastricks.models.options import ModelOptions


def resnet_cifar(
    x: Any,
    depth: int = 20,
    width: int = 16,
    stochastic_depth: float = 0.0,
    activation: str = "relu",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.0,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        depth: 6n + 2 layers.
        width: filters of the first stage.
        stochastic_depth: drop rate of the last block; it grows linearly with depth. Its authors train `resnet_110`
            with 0.5.
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: see `ModelOptions`.

    Returns:
        Features (batch, 4 * width) and the options for the head.

    Raises:
        ValueError: for a depth that is not 6n + 2, or a rate outside [0, 1).
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth must be 6n + 2: 8, 14, 20, 32, 56, 110. Received: depth={depth}")
    options = ModelOptions(activation, initializer, regularizer, dropout)
    blocks = (depth - 2) // 6
    rates = iter(drop_rates(3 * blocks, stochastic_depth))
    x = options.convolve(x, width, "stem_conv")
    x = keras.layers.BatchNormalization(momentum=0.9, name="stem_norm")(x)
    x = options.activate(x, "stem_activation")
    for stage in range(3):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _basic_block(x, width * 2**stage, strides, next(rates), options, f"stage{stage + 1}_block{block + 1}")
    return keras.layers.GlobalAveragePooling2D(name="pool")(x), options


def _basic_block(x: Any, filters: int, strides: int, drop_rate: float, options: ModelOptions, name: str) -> Any:
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = PadShortcut(filters, strides, name=f"{name}_shortcut")(x)
    x = options.convolve(x, filters, f"{name}_conv1", strides)
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm1")(x)
    x = options.activate(x, f"{name}_activation1")
    x = options.convolve(x, filters, f"{name}_conv2")
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm2")(x)
    x = add_branch(shortcut, x, drop_rate, name)
    return options.activate(x, f"{name}_activation2")

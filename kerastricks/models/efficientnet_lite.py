"""EfficientNet-Lite: inverted bottlenecks with depthwise convolutions, without what small devices do badly.

Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019, arXiv 1905.11946, table 1
for the stages and equation 3 for the scaling. The Lite variants leave out squeeze-and-excitation, use ReLU6 in place
of swish, and scale neither the first convolution nor the first and last stage's depth nor the last convolution.

Deviation: the drop rate of block i of n is i / n of the last one's, counted from 1 as in the paper of stochastic depth;
EfficientNet's own code counts from 0.
"""

from math import ceil
from typing import Any

import keras

from kerastricks.layers.stochastic_depth import StochasticDepth
from kerastricks.models.options import ModelOptions

STEM_FILTERS, HEAD_FILTERS = 32, 1280
# (blocks, kernel size, stride, expansion, filters) of each stage before scaling.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def scaled_stages(width: float, depth: float) -> list[tuple[int, int, int, int, int]]:
    """`STAGES` with filters times `width`, to the next multiple of 8, and blocks times `depth`, rounded up."""
    last = len(STAGES) - 1
    return [
        (
            blocks if place in (0, last) else ceil(depth * blocks),
            kernel_size,
            strides,
            expansion,
            _multiple_of_8(filters * width),
        )
        for place, (blocks, kernel_size, strides, expansion, filters) in enumerate(STAGES)
    ]


def efficientnet_lite(
    x: Any,
    width: float = 1.0,
    depth: float = 1.0,
    stochastic_depth: float = 0.0,
    activation: str = "relu6",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.2,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        width: factor of the filters of the seven stages.
        depth: factor of the number of blocks of the five stages in the middle.
        stochastic_depth: drop rate of the last block, in [0, 1); those before it have less, in proportion. Blocks
            without a shortcut are never left out. EfficientNet was trained with 0.2.
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: see `ModelOptions`.

    Returns:
        Features (batch, 1280) and the options for the head.

    Raises:
        ValueError: for a width or depth that is not positive, or a rate outside [0, 1).
    """
    if not (width > 0 and depth > 0):
        raise ValueError(f"width and depth must be positive. Received: width={width}, depth={depth}")
    if not 0 <= stochastic_depth < 1:
        raise ValueError(f"stochastic_depth must be in [0, 1). Received: stochastic_depth={stochastic_depth}")
    options = ModelOptions(activation, initializer, regularizer, dropout)
    stages = scaled_stages(width, depth)
    total, number = sum(blocks for blocks, *_ in stages), 0
    x = options.convolve(x, STEM_FILTERS, "stem_conv", strides=2)
    x = _normalize(x, "stem_norm")
    x = options.activate(x, "stem_activation")
    for stage, (blocks, kernel_size, strides, expansion, filters) in enumerate(stages, start=1):
        for block in range(1, blocks + 1):
            number += 1
            x = _block(
                x,
                filters,
                kernel_size,
                strides if block == 1 else 1,
                expansion,
                StochasticDepth.linear_decay(number, total, stochastic_depth),
                options,
                f"stage{stage}_block{block}",
            )
    x = options.convolve(x, HEAD_FILTERS, "head_conv", kernel_size=1)
    x = _normalize(x, "head_norm")
    x = options.activate(x, "head_activation")
    return keras.layers.GlobalAveragePooling2D(name="pool")(x), options


def _block(
    x: Any,
    filters: int,
    kernel_size: int,
    strides: int,
    expansion: int,
    drop_rate: float,
    options: ModelOptions,
    name: str,
) -> Any:
    inputs = x
    if expansion > 1:
        x = options.convolve(x, x.shape[-1] * expansion, f"{name}_expand_conv", kernel_size=1)
        x = _normalize(x, f"{name}_norm1")
        x = options.activate(x, f"{name}_activation1")
    x = options.convolve_depthwise(x, f"{name}_depthwise", strides, kernel_size)
    x = _normalize(x, f"{name}_norm2")
    x = options.activate(x, f"{name}_activation2")
    x = options.convolve(x, filters, f"{name}_project_conv", kernel_size=1)
    x = _normalize(x, f"{name}_norm3")
    if strides > 1 or inputs.shape[-1] != filters:
        return x
    if drop_rate:
        x = StochasticDepth(drop_rate, scale="training", name=f"{name}_stochastic_depth")(x)
    return keras.layers.Add(name=f"{name}_add")([x, inputs])


def _normalize(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)


def _multiple_of_8(filters: float) -> int:
    """The nearest multiple of 8, at least 8, and never less than 90 % of `filters`."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded

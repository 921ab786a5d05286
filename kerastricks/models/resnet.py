"""Residual networks for large images, with the stems and shortcuts of "Bag of Tricks".

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, table 1; He, Zhang, Zhang, Zhang, Xie, Li:
Bag of Tricks for Image Classification with Convolutional Neural Networks, CVPR 2019, arXiv 1812.01187, figure 2 and
section 3.1. Each variant has what those before it have:
original: stride 2 in the first convolution of a block (in a bottleneck the 1x1, which skips three pixels of four);
b: a bottleneck's stride in its 3x3 convolution;
c: three 3x3 convolutions (half the filters, half, all) in place of the 7x7 one;
d: a shortcut that halves the image averages 2x2 pixels before its 1x1 convolution.

Deviations: images below 64 pixels get one 3x3 convolution of stride 1 and no pooling at the start, in all variants, as
networks for CIFAR have it: the large stem would leave an image of 32 pixels one of 8 before the first block. Strided
layers pad as Keras does, one more pixel at the end than at the start.
"""

from typing import Any, Literal

import keras

from kerastricks.models.head import add_branch, drop_rates
from kerastricks.models.options import ModelOptions

# Blocks of each stage.
_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_VARIANTS = ("original", "b", "c", "d")


def resnet(
    x: Any,
    depth: int = 50,
    variant: Literal["original", "b", "c", "d"] = "d",
    width: int = 64,
    zero_gamma: bool = True,
    stochastic_depth: float = 0.0,
    activation: str = "relu",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.0,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        depth: 18, 34 or 50; 50 has bottlenecks.
        variant: "original", "b", "c" or "d".
        width: filters of the first stage; the others have 2, 4 and 8 times as many.
        zero_gamma: whether the last batch normalisation of each block starts with a factor of 0, so that the network
            starts as if it had no blocks.
        stochastic_depth: drop rate of the last block; it grows linearly with depth.
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: see `ModelOptions`.

    Returns:
        Features (batch, 8 * width), of bottlenecks (batch, 32 * width), and the options for the head.

    Raises:
        ValueError: for another depth or variant, a width below 2, or a rate outside [0, 1).
    """
    if depth not in _STAGES or variant not in _VARIANTS or width < 2:
        raise ValueError(
            f"depth must be 18, 34 or 50, variant one of {', '.join(_VARIANTS)}, width 2 or more. "
            f"Received: depth={depth!r}, variant={variant!r}, width={width!r}"
        )
    options = ModelOptions(activation, initializer, regularizer, dropout)
    rates = iter(drop_rates(sum(_STAGES[depth]), stochastic_depth))
    build = _Blocks(variant, zero_gamma, depth >= 50, options)
    x = build.stem(x, width)
    for stage, blocks in enumerate(_STAGES[depth]):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            x = build.block(x, width * 2**stage, strides, next(rates), f"stage{stage + 1}_block{block + 1}")
    return keras.layers.GlobalAveragePooling2D(name="pool")(x), options


class _Blocks:
    """The parts of a network, with the choices that hold for all of them."""

    def __init__(self, variant: str, zero_gamma: bool, bottleneck: bool, options: ModelOptions) -> None:
        self.variant = variant
        self.last_gamma = "zeros" if zero_gamma else "ones"
        self.bottleneck = bottleneck
        self.options = options

    def stem(self, x: Any, width: int) -> Any:
        """The layers before the first block."""
        if min(x.shape[1:3]) < 64:
            return self._conv(x, width, "stem", 1)
        if self.variant in ("c", "d"):
            x = self._conv(x, width // 2, "stem", 1, strides=2)
            x = self._conv(x, width // 2, "stem", 2)
            x = self._conv(x, width, "stem", 3)
        else:
            x = self._conv(x, width, "stem", 1, strides=2, kernel_size=7)
        return keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)

    def block(self, x: Any, filters: int, strides: int, drop_rate: float, name: str) -> Any:
        """One residual block."""
        outputs = 4 * filters if self.bottleneck else filters
        shortcut = self._shortcut(x, outputs, strides, name) if strides > 1 or x.shape[-1] != outputs else x
        if self.bottleneck:
            first, second = (strides, 1) if self.variant == "original" else (1, strides)
            x = self._conv(x, filters, name, 1, strides=first, kernel_size=1)
            x = self._conv(x, filters, name, 2, strides=second)
            x = self.options.convolve(x, outputs, f"{name}_conv3", kernel_size=1)
        else:
            x = self._conv(x, filters, name, 1, strides=strides)
            x = self.options.convolve(x, outputs, f"{name}_conv2")
        last = 3 if self.bottleneck else 2
        x = keras.layers.BatchNormalization(momentum=0.9, gamma_initializer=self.last_gamma, name=f"{name}_norm{last}")(
            x
        )
        x = add_branch(shortcut, x, drop_rate, name)
        return self.options.activate(x, f"{name}_activation{last}")

    def _shortcut(self, x: Any, filters: int, strides: int, name: str) -> Any:
        if strides > 1 and self.variant == "d":
            x = keras.layers.AveragePooling2D(strides, padding="same", name=f"{name}_shortcut_pool")(x)
            strides = 1
        x = self.options.convolve(x, filters, f"{name}_shortcut_conv", strides, kernel_size=1)
        return keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_shortcut_norm")(x)

    def _conv(self, x: Any, filters: int, name: str, number: int, strides: int = 1, kernel_size: int = 3) -> Any:
        x = self.options.convolve(x, filters, f"{name}_conv{number}", strides, kernel_size)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm{number}")(x)
        return self.options.activate(x, f"{name}_activation{number}")

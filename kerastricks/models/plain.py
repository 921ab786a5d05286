"""Very deep networks without shortcuts and without normalisation: whether they learn depends on how they start.

He, Zhang, Ren, Sun: Delving Deep into Rectifiers, ICCV 2015. "22" is model B of table 3; "30" is the network of section
2.2 and figure 3: the 14-layer model of table 1 and sixteen more 2x2 convolutions of 256 filters, in its last stage.
Spatial pyramid pooling: He et al., ECCV 2014.

Deviations: 2x2 convolutions pad one row and one column at the end, so that all maps of a stage have one size,
where He and Sun (arXiv 1412.1710) pad every other layer; 7x7 of stride 2 and 3x3 pooling of stride 3 pad to ceil(size /
stride), where the paper leaves it open; pyramid levels finer than the last maps are left out, so that small images
have room; the last layer starts as Keras does.
"""

from collections.abc import Sequence
from typing import Any, Literal

import keras

from kerastricks.layers.spatial_pyramid_pooling import SpatialPyramidPooling
from kerastricks.models.head import dense_layers
from kerastricks.models.options import ModelOptions

# Filters of the 7x7 stem, its pooling, kernel size of the stages, (filters, convolutions) of each, pyramid levels.
_NETWORKS: dict[str, tuple[int, int, int, tuple[tuple[int, int], ...], tuple[int, ...]]] = {
    "22": (96, 2, 3, ((256, 6), (512, 6), (512, 6)), (7, 3, 2, 1)),
    "30": (64, 3, 2, ((128, 4), (256, 6 + 16)), (6, 3, 2, 1)),
}


def plain(
    x: Any,
    network: Literal["22", "30"] = "30",
    width: float = 1.0,
    dense: Sequence[int] = (4096, 4096),
    activation: str = "relu",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.5,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        network: "22" or "30", by its layers with weights.
        width: factor of the filters of all layers.
        dense: units of the dense layers before the last; () for none.
        activation: see `ModelOptions`; the paper's own is "prelu".
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: rate after each dense layer.

    Returns:
        Features (batch, dense[-1]) and the options for the head.

    Raises:
        ValueError: for another network or width, dense layers without units or a dropout that is no rate.
    """
    if network not in _NETWORKS or not width > 0:
        raise ValueError(
            f'network must be "22" or "30", and width above 0. Received: network={network!r}, width={width!r}'
        )
    options = ModelOptions(activation, initializer, regularizer, dropout)
    filters, pooling, kernel_size, stages, levels = _NETWORKS[network]
    x = options.convolve(x, _scaled(filters, width), "stem_conv", strides=2, kernel_size=7, use_bias=True)
    x = options.activate(x, "stem_activation")
    x = keras.layers.MaxPooling2D(pooling, padding="same", name="stem_pool")(x)
    for stage, (filters, convs) in enumerate(stages, start=1):
        if stage > 1:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"stage{stage - 1}_pool")(x)
        for conv in range(1, convs + 1):
            name = f"stage{stage}_conv{conv}"
            x = options.convolve(x, _scaled(filters, width), name, kernel_size=kernel_size, use_bias=True)
            x = options.activate(x, f"stage{stage}_activation{conv}")
    levels = tuple(level for level in levels if level <= min(x.shape[1:3]))
    return dense_layers(SpatialPyramidPooling(levels, name="pyramid")(x), dense, options), options


def _scaled(filters: int, width: float) -> int:
    return max(1, round(filters * width))

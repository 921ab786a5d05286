"""3x3 convolutions all the way, with batch normalisation.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015, table 1: columns A
(11), B (13), D (16) and E (19). Batch normalisation (Ioffe, Szegedy 2015) follows each convolution, which keeps its
bias, so that the number of weights is the one that is published.

Deviations: batch normalisation; by default the average over the last maps takes the place of the two dense layers of
4096 units, which hold nine tenths of the weights and start to overfit at once on small data. `dense=(4096, 4096)` with
`dropout=0.5` on 224 pixels is the paper's. Poolings pad to ceil(size / 2), so that images that do not halve five times
have room.
"""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.models.head import dense_layers
from kerastricks.models.options import ModelOptions

# Convolutions of each stage.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (1, 2, 4, 8, 8)


def vgg(
    x: Any,
    depth: int = 16,
    width: int = 64,
    dense: Sequence[int] = (),
    activation: str = "relu",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.0,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        depth: 11, 13, 16 or 19 layers, as the paper counts them: with three dense ones.
        width: filters of the first stage; the others have 2, 4, 8 and 8 times as many.
        dense: units of the dense layers before the last; () is the average over the last maps instead.
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: rate after each dense layer, or before the last layer where there are none.

    Returns:
        Features (batch, 8 * width), or (batch, dense[-1]), and the options for the head.

    Raises:
        ValueError: for another depth, a width below 1, or dense layers without units.
    """
    if depth not in _STAGES or width < 1:
        raise ValueError(f"depth must be 11, 13, 16 or 19, and width 1 or more. Received: depth={depth}, width={width}")
    options = ModelOptions(activation, initializer, regularizer, dropout)
    for stage, (convs, factor) in enumerate(zip(_STAGES[depth], _WIDTHS, strict=True), start=1):
        for conv in range(1, convs + 1):
            x = options.convolve(x, factor * width, f"stage{stage}_conv{conv}", use_bias=True)
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"stage{stage}_norm{conv}")(x)
            x = options.activate(x, f"stage{stage}_activation{conv}")
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"stage{stage}_pool")(x)
    if not dense:
        return keras.layers.GlobalAveragePooling2D(name="pool")(x), options
    return dense_layers(keras.layers.Flatten(name="flatten")(x), dense, options), options

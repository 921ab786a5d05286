"""Network in Network: each convolution is followed by two of 1x1, and no layer is fully connected.

Lin, Chen, Yan: Network In Network, ICLR 2014, with the sizes of the authors' CIFAR-10 network. It has no
normalisation and nine activations in a row, so that it shows what an activation or an initializer does; Xu et al.,
arXiv 1505.00853, compared the rectifiers on it.

Deviation: the last 1x1 convolution and the average over its maps are swapped (`create` puts a dense layer after the
average), which is the same function with the same weights; the authors' code has a ReLU between the two.
"""

from typing import Any

import keras

from kerastricks.models.options import ModelOptions, check_dropout

# (kernel size, filters) of each convolution.
_BLOCKS = (((5, 192), (1, 160), (1, 96)), ((5, 192), (1, 192), (1, 192)), ((3, 192), (1, 192)))


def nin(
    x: Any,
    activation: str = "relu",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.5,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: rate after each of the two poolings, as the paper has it; none before the last layer.

    Returns:
        Features (batch, 192) and the options for the head.

    Raises:
        ValueError: for a dropout that is no number in [0, 1).
    """
    rate = check_dropout(dropout)
    options = ModelOptions(activation, initializer, regularizer)
    for number, block in enumerate(_BLOCKS, start=1):
        for place, (kernel_size, filters) in enumerate(block, start=1):
            name = f"block{number}_conv{place}"
            x = options.convolve(x, filters, name, kernel_size=kernel_size, use_bias=True)
            x = options.activate(x, f"block{number}_activation{place}")
        if number < len(_BLOCKS):
            pool = keras.layers.MaxPooling2D if number == 1 else keras.layers.AveragePooling2D
            x = pool(3, strides=2, padding="same", name=f"block{number}_pool")(x)
            x = keras.layers.Dropout(rate, name=f"block{number}_dropout")(x)
    return keras.layers.GlobalAveragePooling2D(name="pool")(x), options

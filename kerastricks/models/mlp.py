"""A stack of dense layers without normalisation: the plainest network on which an initialization succeeds or fails.

He, Zhang, Ren, Sun: Delving Deep into Rectifiers, ICCV 2015, section 2.2, show on 30 layers of convolutions that the
factor 2 in the variance decides whether a network learns at all; a stack of dense layers shows it in seconds.
"""

from typing import Any

import keras

from kerastricks.models.options import ModelOptions


def mlp(
    x: Any,
    depth: int = 3,
    width: int = 128,
    activation: str = "relu",
    initializer: Any = "auto",
    regularizer: Any = None,
    dropout: float = 0.0,
) -> tuple[Any, ModelOptions]:
    """From normalised images to features.

    Args:
        x: (batch, height, width, channels).
        depth: dense layers before the last, 1 or more.
        width: units of each.
        activation: see `ModelOptions`.
        initializer: see `ModelOptions`.
        regularizer: see `ModelOptions`.
        dropout: see `ModelOptions`.

    Returns:
        Features (batch, width) and the options for the head.

    Raises:
        ValueError: for no layers or units.
    """
    if depth < 1 or width < 1:
        raise ValueError(f"depth and width must be 1 or more. Received: depth={depth}, width={width}")
    options = ModelOptions(activation, initializer, regularizer, dropout)
    x = keras.layers.Flatten(name="flatten")(x)
    for number in range(1, depth + 1):
        x = options.dense(x, width, f"dense{number}")
        x = options.activate(x, f"activation{number}")
    return x, options

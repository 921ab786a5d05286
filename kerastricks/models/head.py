"""The end of a classifier: dense layers, logits, probabilities."""

from collections.abc import Collection, Sequence
from typing import Any

import keras

from kerastricks.models.options import check_dropout


def put_head(
    features: Any, classes: int, hidden: Sequence[int] = (), dropout: float = 0.0, taken: Collection[str] = ()
) -> Any:
    """From features (batch, D) to probabilities (batch, classes), symbolic.

    Args:
        features: symbolic.
        classes: 2 or more.
        hidden: units of dense layers with ReLU before the last one, He's initialization.
        dropout: rate before each dense layer.
        taken: names that layers of the network have already.

    Returns:
        Probabilities; the layer before the softmax is called "logits", or "logits_2" where that is taken.

    Raises:
        ValueError: for fewer than two classes, a layer without units, or a rate outside [0, 1).
    """
    if classes < 2 or any(units < 1 for units in hidden):
        raise ValueError(f"classes must be 2 or more, units 1 or more. Received: {classes} classes, hidden={hidden}")
    x, rate = features, check_dropout(dropout)
    for number, units in enumerate(hidden, start=1):
        if rate:
            x = keras.layers.Dropout(rate, name=free_name(f"head{number}_dropout", taken))(x)
        name = free_name(f"head{number}", taken)
        x = keras.layers.Dense(units, activation="relu", kernel_initializer="he_normal", name=name)(x)
    if rate:
        x = keras.layers.Dropout(rate, name=free_name("head_dropout", taken))(x)
    logits = keras.layers.Dense(classes, dtype="float32", name=free_name("logits", taken))(x)
    return keras.layers.Softmax(dtype="float32", name=free_name("probabilities", taken))(logits)


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or with the first number from 2 that makes it another than those that are taken."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found

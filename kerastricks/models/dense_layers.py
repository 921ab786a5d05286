"""The fully connected layers that networks before global pooling have in front of the last."""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.models.options import Knobs


def dense_layers(x: Any, widths: Sequence[int], knobs: Knobs) -> Any:
    """Dense layers with activation, and dropout between them; the dropout behind the last of them is `create`'s.

    Args:
        x: features (batch, D), symbolic.
        widths: units of each; none changes nothing.
        knobs: of the model.

    Returns:
        Features (batch, widths[-1]).

    Raises:
        ValueError: for a width below 1.
    """
    widths = tuple(widths)
    if any(isinstance(width, bool) or not isinstance(width, int) or width < 1 for width in widths):
        raise ValueError(f"dense must be numbers of units, 1 or more each. Received: dense={widths}")
    for number, width in enumerate(widths, start=1):
        if number > 1 and knobs.dropout:
            x = keras.layers.Dropout(knobs.dropout, name=f"dense{number - 1}_dropout")(x)
        x = knobs.densely(x, width, f"dense{number}")
        x = knobs.activate(x, f"dense{number}_activation")
    return x

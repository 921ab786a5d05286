"""What layers keep beside their weights: constants that `adapt` leaves, made of the weights."""

from typing import Any

from kerastricks.keras_graph import all_layers


def finish_adapting(layer: Any) -> None:
    """Makes the constants of all layers inside from their weights, after these were assigned.

    `keras.layers.Normalization` computes with constants that it makes when it is adapted or loaded, not with its
    weights: `set_weights` alone leaves it at mean 0 and variance 1.

    Args:
        layer: a layer or a model, built.
    """
    for inner in all_layers(layer):
        if hasattr(inner, "finalize_state"):
            inner.finalize_state()

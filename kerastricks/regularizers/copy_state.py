"""Brings one model's weights, random state and trainable flags into another of the same structure."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops


def copy_state(original: keras.Model, twin: keras.Model) -> None:
    """Makes `twin`, built from the config of `original`, compute what `original` does, bit by bit.

    Raises:
        ValueError: where a layer is shared in a way that the config does not say.
    """
    for layer, other in _pairs(original, twin, {}):
        # Through the methods that saving uses: a layer may have more to do than to assign (Normalization).
        # Through NumPy: on JAX a training step gives its buffers away, and two variables must not share one.
        store: dict[str, Any] = {}
        layer.save_own_variables(store)
        other.load_own_variables({key: ops.convert_to_numpy(value) for key, value in store.items()})
        for state, other_state in zip(_seed_states(layer), _seed_states(other), strict=True):
            other_state.assign(ops.convert_to_numpy(state))
        other.trainable = layer.trainable  # goes down to all inside, which come later
        for weight, other_weight in zip(layer._trainable_variables, other._trainable_variables, strict=True):
            other_weight.trainable = weight.trainable


def _pairs(layer: Any, other: Any, seen: dict[int, Any]) -> Iterator[tuple[Any, Any]]:
    """Each layer once, with its counterpart; the outer before the inner."""
    if id(layer) in seen:
        if seen[id(layer)] is not other:
            raise ValueError(
                f"layer {layer.name!r} is shared between models of which one contains the other, which Keras's "
                "config does not say: use it in one of them alone"
            )
        return
    seen[id(layer)] = other
    yield layer, other
    children = layer._flatten_layers(include_self=False, recursive=False)
    others = other._flatten_layers(include_self=False, recursive=False)
    by_name = {child.name: child for child in others}
    if len(by_name) == len(others) and all(child.name in by_name for child in children):
        others = [by_name[child.name] for child in children]  # a functional model may list them in another order
    if len(children) != len(others):
        raise ValueError(
            f"layer {layer.name!r}, a {type(layer).__name__}, has other layers inside when it is built from its "
            "get_config(): mend get_config and from_config"
        )
    for child, twin in zip(children, others, strict=True):
        yield from _pairs(child, twin, seen)


def _seed_states(layer: Any) -> list[Any]:
    """The variables of dropout and its like, which are no weights."""
    weights = {id(weight) for weight in layer.weights}
    return [variable for variable in layer.variables if id(variable) not in weights]

"""Whether models are one architecture with several sets of weights."""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.errors import EnsembleError

_RULE = "models must be one architecture"
_WAY_OUT = "combine their outputs instead"
# What a layer's configuration says and its outputs at inference do not depend on.
_FREE = {"name", "trainable", "seed", "dtype", "rate", "momentum", "renorm_momentum", "synchronized", "build_config"}
_FREE_ENDS = ("_initializer", "_regularizer", "_constraint", "initializer", "regularizer")


def check_same_network(models: Sequence[keras.Model], names: Sequence[str] | None = None) -> None:
    """Compares weights, layers and their connections in their order; names of layers may differ.

    Args:
        models: functional or Sequential, built.
        names: what messages call them; None for "model 0", "model 1" ...

    Raises:
        EnsembleError: naming the first weight whose shape differs, or the first layer whose settings or inputs do.
    """
    names = names or [f"model {place}" for place in range(len(models))]
    for name, model in zip(names, models, strict=True):
        if len(getattr(model, "outputs", None) or ()) == 0:
            raise EnsembleError(f"{name}: must be a built functional or Sequential keras.Model. Received: {model!r}")
    first = models[0]
    for name, model in zip(names[1:], models[1:], strict=True):
        pair = (names[0], name)
        _check_weights(first, model, pair)
        _check_layers(first, model, pair)
        _check_graph(first, model, pair)


def _check_weights(first: keras.Model, model: keras.Model, names: tuple[str, str]) -> None:
    for mine, other in zip(first.weights, model.weights, strict=False):
        if tuple(mine.shape) != tuple(other.shape):
            raise EnsembleError(
                f"{_RULE}. Received: weight {mine.path!r} of {names[0]} has shape "
                f"{tuple(mine.shape)}, {other.path!r} of {names[1]} {tuple(other.shape)}; {_WAY_OUT}"
            )
    if len(first.weights) != len(model.weights):
        longer, owner = (first, names[0]) if len(first.weights) > len(model.weights) else (model, names[1])
        extra = longer.weights[min(len(first.weights), len(model.weights))]
        raise EnsembleError(
            f"{_RULE}. Received: {len(first.weights)} weights in {names[0]}, {len(model.weights)} in "
            f"{names[1]}, weight {extra.path!r} {tuple(extra.shape)} being in {owner} alone; {_WAY_OUT}"
        )


def _check_layers(first: keras.Model, model: keras.Model, names: tuple[str, str]) -> None:
    mine, others = _leaves(first), _leaves(model)
    for one, other in zip(mine, others, strict=False):
        differs = "kind" if type(one) is not type(other) else _first_difference(one.get_config(), other.get_config())
        if differs is not None:
            raise EnsembleError(
                f"{_RULE}. Received: layer {one.name!r} ({type(one).__name__}) of {names[0]} and "
                f"{other.name!r} ({type(other).__name__}) of {names[1]} differ in {differs}; {_WAY_OUT}"
            )
    if len(mine) != len(others):
        raise EnsembleError(
            f"{_RULE}. Received: {len(mine)} layers in {names[0]}, {len(others)} in {names[1]}; {_WAY_OUT}"
        )


def _check_graph(first: keras.Model, model: keras.Model, names: tuple[str, str]) -> None:
    """What goes into each layer and operation: skip connections, their order, functions of `keras.ops`."""
    for mine, other in zip(_graphs(first), _graphs(model), strict=True):
        for one, its_twin in zip(mine, other, strict=False):
            if one[1:] != its_twin[1:]:
                raise EnsembleError(
                    f"{_RULE}. Received: {one[0]!r} of {names[0]} and {its_twin[0]!r} of {names[1]} differ in what "
                    f"they do or in their inputs; {_WAY_OUT}"
                )
        if len(mine) != len(other):
            raise EnsembleError(
                f"{_RULE}. Received: {len(mine)} operations in {names[0]}, {len(other)} in {names[1]}; {_WAY_OUT}"
            )


def _graphs(model: keras.Model) -> list[list[tuple[str, str, Any]]]:
    """Of each functional model inside: name, kind and inputs of each operation, layers called by their places."""
    functional = [layer for layer in model._flatten_layers() if hasattr(layer, "_nodes_by_depth")]
    graphs = []
    for config in (inner.get_config() for inner in functional):
        places = {entry["name"]: place for place, entry in enumerate(config["layers"])}
        graph = [
            (entry["name"], entry["class_name"], _nameless(entry["inbound_nodes"], places))
            for entry in config["layers"]
        ]
        graphs.append([*graph, ("outputs", "", _nameless(config["output_layers"], places))])
    return graphs


def _nameless(value: Any, places: dict[str, int]) -> Any:
    """The same with places for names, and no shapes, which the weights have."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return _nameless(value["config"]["keras_history"], places)
    if isinstance(value, dict):
        return {key: _nameless(one, places) for key, one in value.items() if key != "name"}
    if isinstance(value, list | tuple):
        return [_nameless(one, places) for one in value]
    return places.get(value, value) if isinstance(value, str) else value


def _leaves(model: keras.Model) -> list[Any]:
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [
        layer
        for layer in layers
        if not isinstance(layer, keras.layers.InputLayer)
        and not list(layer._flatten_layers(include_self=False, recursive=False))
    ]


def _first_difference(mine: dict[str, Any], other: dict[str, Any]) -> str | None:
    for key in sorted(mine.keys() | other.keys()):
        free = key in _FREE or key.endswith(_FREE_ENDS)
        if not free and not _equal(mine.get(key), other.get(key)):
            return key
    return None


def _equal(a: Any, b: Any) -> bool:
    """Of numbers, lists and arrays of them, and dictionaries."""
    return keras.saving.serialize_keras_object(a) == keras.saving.serialize_keras_object(b)

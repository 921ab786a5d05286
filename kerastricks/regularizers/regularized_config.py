"""Writes regularization into the serialized form of a model."""

from collections.abc import Collection, Mapping
from typing import Any

import keras

from kerastricks.regularizers.penalties import SEPARABLE, find_kind
from kerastricks.regularizers.regularization import Regularization

# Weights that are kernels, by the beginning of the arguments that Keras has for them.
KERNELS = ("kernel", "depthwise", "pointwise", "recurrent", "embeddings")


class RegularizedConfig:
    """Walks through what `serialize_keras_object` returns, and notes what it changed.

    A nested model and the layer in a wrapper are in there as they are on the top level, and what is written
    into the config is by construction what a saved model keeps.

    Args:
        regularization: what every kernel gets.
        layers: names of layers; what is inside them is meant too. None is all.
        classes: by registered name, those that are not Keras's own.
    """

    def __init__(
        self, regularization: Regularization, layers: Collection[str] | None, classes: Mapping[str, type]
    ) -> None:
        self.regularization = regularization
        self.layers = layers
        self.classes = classes
        self.changed: set[str] = set()  # those of `layers` with a kernel inside; without `layers`, any layer

    def edit(self, node: Any, inside: tuple[str, ...] = ()) -> Any:
        """A changed copy of `node`, without the state of `compile`; `inside` are the chosen layers around it."""
        if isinstance(node, list | tuple):
            return type(node)(self.edit(item, inside) for item in node)
        if not isinstance(node, dict):
            return node
        config = node.get("config")
        if "class_name" not in node or not isinstance(config, dict):
            return {key: self.edit(value, inside) for key, value in node.items()}
        name = config.get("name", "")
        if self.layers is None or name in self.layers:
            inside = (*inside, name)
        edited = {key: self.edit(value, inside) for key, value in node.items() if key != "compile_config"}
        # A frozen layer's penalty does not count in the loss, and no step moves its weights.
        if inside and config.get("trainable", True):
            for kernel in KERNELS:
                if f"{kernel}_regularizer" in config:
                    self._write(edited["config"], kernel, node)
                    self.changed.update(inside)
        return edited

    def _write(self, config: dict[str, Any], kernel: str, node: dict[str, Any]) -> None:
        if self.regularization.regularizer is not None:
            config[f"{kernel}_regularizer"] = keras.regularizers.serialize(self.regularization.regularizer)
        if self.regularization.max_value is not None:
            kind = find_kind(self._class(node))
            if kind in SEPARABLE:
                kind = SEPARABLE[kind][kernel]
            if kind is None or f"{kernel}_constraint" not in config:
                raise ValueError(
                    f"max_norm knows no axes for layer {config.get('name')!r}, a {node['class_name']}: "
                    "name the layers it is for in layers=[...]"
                )
            config[f"{kernel}_constraint"] = keras.constraints.serialize(self.regularization.constraint(kind))

    def _class(self, node: dict[str, Any]) -> type:
        name = node.get("registered_name") or node["class_name"]
        return self.classes.get(name, getattr(keras.layers, node["class_name"], object))

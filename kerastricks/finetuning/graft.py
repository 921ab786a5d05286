"""Copies of networks, flat, on other inputs."""

from typing import Any

import keras

from kerastricks.errors import ConfigError
from kerastricks.layers.adapted_state import finish_adapting


def graft(model: keras.Model, inputs: Any, pixels: Any, copy_weights: bool = True) -> keras.Model:
    """A copy of a network that is given `pixels` and starts from `inputs`, which `pixels` are made of.

    Models inside the model are laid open: a transfer model of the usual form, Sequential([base, Dense]), becomes the
    layers of both.

    Args:
        model: functional or Sequential, one input, one output.
        inputs: symbolic, of a `keras.Input`.
        pixels: symbolic.
        copy_weights: whether the copy starts with the same weights, or with those of the initializers.

    Returns:
        A functional model from `inputs`; layers keep their names.

    Raises:
        ConfigError: where the weights do not fit images of this size, or two layers have one name.
    """
    pairs: list[tuple[Any, Any]] = []
    try:
        copied = _graft(model, inputs, pixels, pairs)
        if copy_weights:
            for original, copy in pairs:
                copy.set_weights(original.get_weights())
                finish_adapting(copy)
    except ValueError as error:
        have, wanted = tuple(model.inputs[0].shape[1:]), tuple(pixels.shape[1:])
        raise ConfigError(
            f"backbone {model.name}: made for images of {have}, cannot be used for {wanted} ({_first_line(error)})"
        ) from None
    return copied


def _graft(model: keras.Model, inputs: Any, pixels: Any, pairs: list[tuple[Any, Any]]) -> keras.Model:
    functional = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # of a Sequential too
    inner: dict[int, tuple[Any, keras.Model]] = {}

    def clone(operation: Any) -> Any:
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):  # others know their insides alone
            placeholder = keras.layers.Identity()
            inner[id(placeholder)] = placeholder, operation
            return placeholder
        copy = operation.__class__.from_config(operation.get_config())
        if isinstance(operation, keras.layers.Layer) and operation.weights:
            pairs.append((operation, copy))
        return copy

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        args = keras.tree.map_structure(lambda tensor: pixels if tensor is inputs else tensor, args)
        if id(operation) in inner:
            return _graft(inner[id(operation)][1], inputs, args[0], pairs).outputs[0]
        return operation(*args, **kwargs)

    return keras.models.clone_model(functional, input_tensors=inputs, clone_function=clone, call_function=call)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]

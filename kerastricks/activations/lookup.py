"""Activations by name: a layer for each, so that functions and layers with weights or draws are used alike."""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from kerastricks.activations.catalog import ACTIVATIONS
from kerastricks.errors import SpecError, UnknownNameError
from kerastricks.spec import Spec, parse


@keras.saving.register_keras_serializable(package="kerastricks")
class KerasFunction:
    """Calls a function of `keras.activations` on the tensor, with the arguments it was made with.

    `keras.layers.Activation` takes a name or a function without arguments; given this, it takes
    `gelu(approximate=True)` too, and is saved and loaded with it. Training and inference do the same.

    Args:
        function: its name in `keras.activations`.
        arguments: its arguments besides the tensor.

    Call arguments:
        inputs: float, any shape.

    Returns:
        What the function returns.

    Raises:
        ValueError: for a name that `keras.activations` does not have.

    Example:
        >>> import keras, kerastricks, numpy
        >>> shrink = kerastricks.activations.KerasFunction("soft_shrink", {"threshold": 1.0})
        >>> keras.layers.Activation(shrink)(numpy.array([-3.0, 0.5, 2.0])).numpy().tolist()
        [-2.0, 0.0, 1.0]
    """

    def __init__(self, function: str, arguments: dict[str, Any] | None = None) -> None:
        self.function = function
        self.arguments = dict(arguments or {})
        self._call = keras.activations.get(function)

    def __call__(self, inputs: Any) -> Any:
        return self._call(inputs, **self.arguments)

    def get_config(self) -> dict[str, Any]:
        return {"function": self.function, "arguments": self.arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "KerasFunction":
        return cls(**config)


# Keras's own layers where there are some: models with them load without kerastricks.
_KERAS_LAYERS = {"elu": keras.layers.ELU, "relu": keras.layers.ReLU, "softmax": keras.layers.Softmax}


def get(activation: Any, rank: int = 4, name: str | None = None) -> keras.layers.Layer:
    """Makes a fresh layer that applies an activation.

    Args:
        activation: a spec: "rrelu(mode='library')", "leaky_relu(0.18)", "prelu", or any name of
            `keras.activations`, with arguments or without: "relu", "elu(alpha=0.5)"; or a layer, which is copied
            from its config, without its weights; or a function of one tensor.
        rank: of the tensor it is for: 4 for images, 2 for vectors. "prelu" has one slope per channel: of rank 4
            it shares the axes 1 and 2, of rank 2 none.
        name: of the layer; None lets Keras choose.

    Returns:
        A layer that has not been built.

    Raises:
        SpecError: for a spec that does not parse, or arguments that the activation does not take.
        UnknownNameError: for a name that neither kerastricks nor `keras.activations` has.
        ValueError: for something that is no activation, or a rank below 2.

    Example:
        >>> import kerastricks
        >>> kerastricks.activations.get("leaky_relu").negative_slope
        0.01
        >>> kerastricks.activations.get("prelu", rank=4).shared_axes
        [1, 2]
    """
    if rank < 2:
        raise ValueError(f"rank must be 2 or more, with the batch axis. Received: rank={rank}")
    if isinstance(activation, keras.layers.Layer):
        config = {key: value for key, value in activation.get_config().items() if key != "name"}
        return type(activation).from_config({**config, "name": name} if name else config)
    if isinstance(activation, str):
        spec = parse(activation)
        if spec.name in ACTIVATIONS:
            return _ours(spec, rank, name)
        if spec.name in keras_names():
            return _keras(spec, name)
        raise UnknownNameError("activation", spec.name, {*ACTIVATIONS, *keras_names()})
    if callable(activation) and not isinstance(activation, type):
        return keras.layers.Activation(activation, name=name)
    raise ValueError(f"activation must be a spec, a layer or a function. Received: activation={activation!r}")


def keras_names() -> list[str]:
    """The names of the functions of `keras.activations`."""
    names = (name for name in dir(keras.activations) if not name.startswith("_"))
    return [name for name in names if name not in ("deserialize", "get", "serialize")]


def _ours(spec: Spec, rank: int, name: str | None) -> keras.layers.Layer:
    builder = ACTIVATIONS[spec.name]
    parameters = list(inspect.signature(builder).parameters)
    more: dict[str, Any] = {"name": name}
    given = {*parameters[: len(spec.args)], *spec.kwargs}
    if "shared_axes" in parameters and "shared_axes" not in given:
        more["shared_axes"] = tuple(range(1, rank - 1)) or None
    layer = spec.call(builder, **more)
    if max(getattr(layer, "shared_axes", None) or (), default=0) >= rank:
        raise SpecError(f"{spec}: shared_axes must be below {rank}, the rank here. Received: {layer.shared_axes}")
    return layer


def _keras(spec: Spec, name: str | None) -> keras.layers.Layer:
    function: Callable[..., Any] = getattr(keras.activations, spec.name)
    signature = inspect.signature(function)
    if (
        not spec.args
        and not spec.kwargs
        and all(p.default is not p.empty for p in [*signature.parameters.values()][1:])
    ):
        return keras.layers.Activation(spec.name, name=name)
    own = signature.replace(parameters=list(signature.parameters.values())[1:])  # without the tensor

    def build(*args: Any, **kwargs: Any) -> keras.layers.Layer:
        arguments = own.bind(*args, **kwargs).arguments
        if spec.name in _KERAS_LAYERS:
            return _KERAS_LAYERS[spec.name](**arguments, name=name)
        return keras.layers.Activation(KerasFunction(spec.name, arguments), name=name)

    build.__signature__ = own  # type: ignore[attr-defined]
    return spec.call(build)

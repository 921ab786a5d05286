"""Recognition of activations among layers and operations, and where each stops passing a gradient."""

import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import keras

# Layers with a kernel, whose own activation is the last thing they do: it can be taken out and applied after them.
KERNEL_LAYERS = (
    keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D,
    keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)  # fmt: skip


@dataclass(frozen=True)
class ActivationKind:
    """An activation and its settings.

    Args:
        name: as in `keras.activations`, "leaky_relu"; else the function's own name.
        rectifies: whether a unit that is never above 0 is dead: it passes no gradient, or only the slope's.
        bounds: the values near which the slope is all but zero.
        span: from the lowest to the highest value.
        slope: below zero, of leaky activations.
    """

    name: str
    rectifies: bool = False
    bounds: tuple[float, ...] = ()
    span: float = 1.0
    slope: float = 0.0


_RECTIFIERS = ("relu", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish")
KINDS: dict[str, ActivationKind] = {name: ActivationKind(name, rectifies=True) for name in _RECTIFIERS}
KINDS |= {name: ActivationKind(name, rectifies=True) for name in ("hard_silu", "hard_swish", "threshold")}
KINDS |= {name: ActivationKind(name, bounds=(0.0, 1.0)) for name in ("sigmoid", "hard_sigmoid", "softmax")}
KINDS |= {name: ActivationKind(name, bounds=(0.0, 1.0)) for name in ("sparse_sigmoid", "sparsemax")}
KINDS |= {name: ActivationKind(name, bounds=(-1.0, 1.0), span=2.0) for name in ("tanh", "hard_tanh", "softsign")}
KINDS["relu6"] = ActivationKind("relu6", rectifies=True, bounds=(6.0,), span=6.0)
KINDS |= {name: ActivationKind(name) for name in ("softplus", "exponential", "maxout", "log_softmax", "squareplus")}

# Layers whose class is the activation; matched by name, so that nothing is imported for them.
_CLASSES = {
    "ReLU": "relu", "LeakyReLU": "leaky_relu", "PReLU": "prelu", "RReLU": "rrelu", "ELU": "elu", "Softmax": "softmax",
    "Maxout": "maxout",
}  # fmt: skip


def kind_of(operation: Any) -> ActivationKind | None:
    """The kind of a layer or operation that is an activation and nothing else; None for all others."""
    name = type(operation).__name__
    if isinstance(operation, keras.layers.Activation):
        return kind_of_function(operation.activation)
    if isinstance(operation, keras.layers.Layer):
        return _with_settings(KINDS[_CLASSES[name]], operation) if name in _CLASSES else None
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()  # the operation of keras.ops.leaky_relu is LeakyRelu
    return _with_settings(KINDS[snake], operation) if snake in KINDS else None


def own_kind(layer: Any) -> ActivationKind | None:
    """The kind of the activation inside a layer: of Dense(8, activation="relu"), in a wrapper too."""
    if isinstance(layer, keras.layers.Wrapper):
        return own_kind(layer.layer)
    activation = getattr(layer, "activation", None)
    if isinstance(activation, keras.layers.Layer):
        return kind_of(activation)
    return kind_of_function(activation) if callable(activation) else None


def kind_of_function(function: Any) -> ActivationKind | None:
    """The kind of a function; None for the identity."""
    if isinstance(function, keras.layers.Layer):
        return kind_of(function)
    inside = getattr(function, "function", None)  # a function of keras.activations with arguments
    name = inside if isinstance(inside, str) else getattr(function, "__name__", type(function).__name__)
    if name == "linear":
        return None
    settings = SimpleNamespace(**getattr(function, "arguments", {})) if name == inside else None
    return _with_settings(KINDS.get(name, ActivationKind(name)), settings)


def _with_settings(kind: ActivationKind, operation: Any) -> ActivationKind:
    highest = getattr(operation, "max_value", None)
    slope = getattr(operation, "negative_slope", 0.0)
    if isinstance(highest, int | float):
        kind = ActivationKind(kind.name, kind.rectifies, (float(highest),), float(highest))
    if isinstance(slope, int | float) and slope:
        kind = ActivationKind(kind.name, kind.rectifies, kind.bounds, kind.span, float(slope))
    return kind

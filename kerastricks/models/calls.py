"""The calls of a model's layers, in order, those of nested models included."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from kerastricks.keras_graph import has_graph, nodes, producer

Shape = tuple[int | None, ...]


def shape_text(shape: Shape) -> str:
    """ "32x32x3" for (None, 32, 32, 3): without the batch axis, "?" for a side that is open."""
    return "x".join("?" if side is None else str(side) for side in shape[1:])


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation.

    Args:
        layer: what is called.
        name: of the layer, "block/conv" inside another model.
        inputs: shapes of the tensors that go in, the batch axis first.
        outputs: shapes of those that come out.
        before: the layers that made what goes in.
    """

    layer: Any
    name: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    before: tuple[Any, ...]


def calls(model: keras.Model, prefix: str = "") -> Iterator[Call]:
    """Each call of a layer or operation, in order; a layer that is shared comes as often as it is called.

    Args:
        model: functional or Sequential.
        prefix: of the names.

    Yields:
        A `Call` for each.

    Raises:
        ValueError: for a model that is neither.
    """
    if not has_graph(model):
        raise ValueError(f"model must be functional, or Sequential and built. Received: {type(model).__name__}")
    for node in nodes(model):
        if node.is_input:
            continue
        inputs = tuple(tuple(tensor.shape) for tensor in node.input_tensors)
        layer = node.operation
        if isinstance(layer, keras.Sequential | keras.Function):
            yield from calls(_fixed(layer, inputs), f"{prefix}{layer.name}/")
            continue
        outputs = tuple(tuple(tensor.shape) for tensor in node.output_tensors)
        before = tuple(producer(tensor) for tensor in node.input_tensors)
        yield Call(layer, prefix + layer.name, inputs, outputs, before)


def _fixed(model: Any, shapes: tuple[Shape, ...]) -> Any:
    """`model`, or where it leaves sizes open a copy for those that it is called with."""
    if not any(None in tuple(tensor.shape)[1:] for tensor in model.inputs):
        return model
    inputs = [
        keras.Input(batch_shape=shape, dtype=tensor.dtype) for shape, tensor in zip(shapes, model.inputs, strict=True)
    ]
    return keras.models.clone_model(model, inputs if len(inputs) > 1 else inputs[0])

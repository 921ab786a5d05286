"""A network as a chain of levels: ends where features can be extracted, layers that are unfrozen together."""

from dataclasses import dataclass
from typing import Any

import keras

from kerastricks.keras_graph import producer

# After these a block is not finished: what they give is waiting for its normalisation or activation.
_UNFINISHED = (
    keras.layers.InputLayer,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.Resizing,
    keras.layers.BatchNormalization,
    keras.layers.ZeroPadding2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
)


@dataclass(frozen=True)
class Level:
    """Consecutive layers whose end is on every path to the output.

    Args:
        end: the layer whose output are the level's features.
        layers: the names of all layers after the level before, up to `end`.
        output_shape: of `end`, without the batch: (height, width, channels) or (units,).
        parameters: weights of these layers.
    """

    end: str
    layers: tuple[str, ...]
    output_shape: tuple[int, ...]
    parameters: int


def find_levels(model: keras.Model) -> tuple[Level, ...]:
    """The levels of a network, from pixels to features.

    A level ends where the next layer makes the image smaller, at the last layer that all paths go through and that
    finishes a block: an activation, an addition, a pooling. Dense layers and what comes after the last pooling are
    levels each. Layers before the first weight belong to the first level, those after the last end to the last.

    Args:
        model: functional or Sequential, one input, one output, no layer used twice.

    Returns:
        At least one level; together they hold every layer of the model.

    Raises:
        ValueError: for a model with shared layers or several inputs.
    """
    operations = list(model.operations)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(f"a backbone has one input and one output. Received: {model.name!r} with others")
    first = next((place for place, operation in enumerate(operations) if _learns(operation)), 0)
    ends = [place for place in cuts(model) if place >= first and _finishes(operations[place])]
    ends = [place for number, place in enumerate(ends) if _is_last_of_its_size(operations, ends, number)]
    if not ends:
        ends = [len(operations) - 1]
    ends[-1] = len(operations) - 1
    if len(ends) > 1 and not _has_weights(operations[ends[-2] + 1 :]):
        del ends[-2]  # a pooling is not a separate level
    levels, start = [], 0
    for place in ends:
        members = operations[start : place + 1]
        levels.append(
            Level(
                end=operations[place].name,
                layers=tuple(member.name for member in members),
                output_shape=tuple(operations[place].output.shape[1:]),
                parameters=sum(_count(member) for member in members),
            )
        )
        start = place + 1
    return tuple(levels)


def cuts(model: keras.Model) -> list[int]:
    """Indices of the operations in `model.operations` whose output is on every path from input to output.

    The operations are in topological order, so such an index is where only one value is still waiting to be used.
    """
    operations = list(model.operations)
    made = {id(tensor) for operation in operations for tensor in keras.tree.flatten(operation.output)}
    last_use: dict[int, int] = {}
    for place, operation in enumerate(operations):
        for tensor in keras.tree.flatten(operation.input):
            last_use[id(tensor)] = place
    for tensor in keras.tree.flatten([operation.input for operation in operations] + model.outputs):
        if id(tensor) not in made:  # `output` is that of an operation's first use
            name = producer(tensor).name
            raise ValueError(
                f"{model.name!r} uses its layer {name!r} more than once: a backbone is a network without shared layers"
            )
    last_use[id(model.outputs[0])] = len(operations)
    found, open_until = [], 0
    for place, operation in enumerate(operations):
        outputs = keras.tree.flatten(operation.output)
        if open_until <= place and len(outputs) == 1:
            found.append(place)
        open_until = max(open_until, *(last_use.get(id(tensor), place) for tensor in outputs))
    return found


def _finishes(operation: Any) -> bool:
    if isinstance(operation, _UNFINISHED) or not isinstance(operation, keras.layers.Layer):
        return False  # an operation that is no layer cannot be asked for by name
    activation = getattr(operation, "activation", None)
    has_kernel = hasattr(operation, "kernel") or hasattr(operation, "depthwise_kernel")
    return not has_kernel or (activation is not None and activation is not keras.activations.linear)


def _is_last_of_its_size(operations: list[Any], ends: list[int], number: int) -> bool:
    """Whether the next end has another height and width; without these each end is its own level."""
    if number + 1 == len(ends):
        return True
    here, following = (tuple(operations[ends[n]].output.shape[1:-1]) for n in (number, number + 1))
    return here != following or (not here and _has_weights(operations[ends[number] + 1 : ends[number + 1] + 1]))


def _has_weights(operations: list[Any]) -> bool:
    return any(_count(operation) for operation in operations)


def _learns(operation: Any) -> bool:
    """Whether an operation has weights other than pixel statistics."""
    return not isinstance(operation, keras.layers.Normalization) and _count(operation) > 0


def _count(operation: Any) -> int:
    return operation.count_params() if isinstance(operation, keras.layers.Layer) else 0

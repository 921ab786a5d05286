"""The calls in a model's graph, those in nested models included, with the calls that each one's inputs come from."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from kerastricks.checks.activation_kinds import KERNEL_LAYERS, ActivationKind, kind_of, own_kind
from kerastricks.keras_graph import all_layers, has_graph, nodes
from kerastricks.models.calls import Shape

END = -1  # where a path leaves the model
_DROPOUTS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout")
# Layers, and operations of keras.ops, that move, repeat or choose values and do not scale them.
_KEEPS_VALUES = re.compile(
    r"(Identity|Flatten|Reshape|Permute|Transpose|Cast|Flip|GetItem|ExpandDims|Squeeze|Pad|CenterCrop|Resize|Resizing"
    r"|RGBToGrayscale|((Global|Adaptive)?(Max|Average)Pooling|ZeroPadding|Cropping|UpSampling)\dD)"
)


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation.

    Args:
        layer: what is called; None for an input of the model.
        name: of the layer, "block/conv" inside another model.
        before: indices of the steps whose outputs go in.
        shape: of the output, the batch axis first.
        dtype: of the output.
    """

    layer: Any
    name: str
    before: tuple[int, ...]
    shape: Shape
    dtype: str


class ModelGraph:
    """The steps of a model, each after those that it depends on, the inputs first.

    A layer that is shared is as many steps as it has calls. A subclassed model inside, a wrapper and a layer that
    calls others are one step each.

    Args:
        model: for which `keras_graph.has_graph` is true.
    """

    def __init__(self, model: keras.Model) -> None:
        self.steps: list[Step] = []
        self.after: list[list[int]] = []
        self.inputs = [self._add(None, f"input{number}", (), tensor) for number, tensor in enumerate(model.inputs)]
        self.outputs = self._walk(model, self.inputs, "")

    def _walk(self, model: Any, sources: list[int], prefix: str) -> list[int]:
        known = {id(tensor): source for tensor, source in zip(model.inputs, sources, strict=True)}
        for node in nodes(model):
            if node.is_input:
                continue
            operation = node.operation
            before = [known[id(tensor)] for tensor in node.input_tensors]
            if has_graph(operation) and len(operation.inputs) == len(before):
                ends = self._walk(operation, before, f"{prefix}{operation.name}/")
            else:
                inside = operation.layers if isinstance(operation, keras.layers.Pipeline) else [operation]
                for layer in inside:
                    before = [self._add(layer, prefix + layer.name, tuple(before), node.output_tensors[0])]
                ends = before * len(node.output_tensors)
            known.update({id(tensor): end for tensor, end in zip(node.output_tensors, ends, strict=True)})
        return [known[id(tensor)] for tensor in model.outputs]

    def _add(self, layer: Any, name: str, before: tuple[int, ...], output: Any) -> int:
        self.steps.append(Step(layer, name, tuple(dict.fromkeys(before)), tuple(output.shape), str(output.dtype)))
        self.after.append([])
        for index in self.steps[-1].before:
            self.after[index].append(len(self.steps) - 1)
        return len(self.steps) - 1

    def following(self, start: int, passes: Callable[[Step], bool]) -> set[int]:
        """The first steps after one that stop a walk, over all paths; `END` is among them where a path ends.

        Args:
            start: index of the step; it is not asked itself.
            passes: whether the walk continues after a step.
        """
        return self._first(start, passes, lambda index: [*self.after[index], *[END] * (index in self.outputs)])

    def preceding(self, start: int, passes: Callable[[Step], bool]) -> set[int]:
        """The first steps before one that stop a walk, over all paths; see `following`."""
        return self._first(start, passes, lambda index: self.steps[index].before)

    def _first(self, start: int, passes: Callable[[Step], bool], neighbours: Any) -> set[int]:
        found, seen, pending = set(), {start}, list(neighbours(start))
        while pending:
            index = pending.pop()
            if index in seen:
                continue
            seen.add(index)
            if index == END or not passes(self.steps[index]):
                found.add(index)
            else:
                pending += neighbours(index)
        return found

    def heads(self) -> set[int]:
        """The steps with a kernel from which a path leads to an output without another kernel."""
        kernels = [index for index, step in enumerate(self.steps) if has_kernel(step)]
        return {index for index in kernels if END in self.following(index, lambda step: not has_kernel(step))}


def layer_names(model: keras.Model, graph: ModelGraph | None) -> dict[int, str]:
    """The name of each layer at any depth by its id, "block/conv" inside another model."""
    names: dict[int, str] = {}
    for step in graph.steps if graph else ():
        if isinstance(step.layer, keras.layers.Layer):
            for layer in all_layers(step.layer):
                names.setdefault(id(layer), step.name if layer is step.layer else f"{step.name}/{layer.name}")
    for layer in all_layers(model):
        names.setdefault(id(layer), layer.name)
    return names


def core(layer: Any) -> Any:
    """The layer in a wrapper, such as weight normalization; any other itself."""
    return core(layer.layer) if isinstance(layer, keras.layers.Wrapper) else layer


def has_kernel(step: Step) -> bool:
    """Whether it is a dense layer or a convolution, in a wrapper too."""
    return isinstance(core(step.layer), KERNEL_LAYERS)


def normalizes(layer: Any) -> bool:
    """Whether it normalizes activations or kernels, by its class's name; Keras's `Normalization` is for inputs."""
    named = any("Norm" in one.__name__ for one in type(layer).__mro__)
    return named and not isinstance(layer, keras.layers.Normalization)


def is_normalization(step: Step) -> bool:
    """Whether it normalizes activations; a wrapper that does so normalizes a kernel."""
    return normalizes(step.layer) and not isinstance(step.layer, keras.layers.Wrapper)


def is_residual(step: Step) -> bool:
    """Whether it adds branches."""
    return type(step.layer).__name__ == "Add" and len(step.before) > 1


def is_dropout(step: Step) -> bool:
    """Whether it drops units; one that drops whole samples is stochastic depth."""
    if type(step.layer).__name__ not in _DROPOUTS:
        return False
    noise = getattr(step.layer, "noise_shape", None)
    return not noise or any(side != 1 for side in noise[1:])


def keeps_values(step: Step) -> bool:
    """Whether it moves, pools or copies values only."""
    layer = step.layer
    linear = isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.linear
    return linear or _KEEPS_VALUES.fullmatch(type(layer).__name__) is not None


def activation(step: Step) -> ActivationKind | None:
    """The activation that a step is, or that a layer with a kernel ends in; None without one."""
    return own_kind(step.layer) if has_kernel(step) else kind_of(step.layer)

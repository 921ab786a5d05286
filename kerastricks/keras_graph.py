"""Keras's private names, in the one file that may use them.

What Keras has no public name for: the layers inside a layer, the variables that are a layer's own, the graph of a
functional model, an optimizer's schedule. `tests/test_private_names.py` lists the names and says which of them an
installed Keras no longer has; `tests/test_architecture.py` refuses them everywhere else.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import keras

from kerastricks.errors import UsageError

# Layers


def all_layers(layer: Any, include_self: bool = True) -> list[Any]:
    """List the layers inside a layer or model at any depth, each once.

    Args:
        layer: a layer or a model, built or not. A model's operations that are no layers are not listed.
        include_self: puts `layer` itself first.
    """
    return layer._flatten_layers(include_self=include_self, recursive=True)


def sublayers(layer: Any) -> list[Any]:
    """List the layers that a layer or model holds directly."""
    return layer._flatten_layers(include_self=False, recursive=False)


def own_trainable_variables(layer: Any) -> list[Any]:
    """List a layer's trainable weights without those of its sublayers.

    A frozen layer's are listed, `layer.trainable_variables` being empty there; a weight that is frozen by itself, too.
    """
    return layer._trainable_variables


# Graphs


class Node(Protocol):
    """One call of a layer or operation in a graph, as Keras keeps it.

    Args:
        operation: what is called; a layer, a model, or a function of `keras.ops`.
        arguments: of the call; its `kwargs` are those given by name.
        input_tensors: symbolic tensors that go in.
        output_tensors: symbolic tensors that come out.
        is_input: whether it is the call that makes an input.
    """

    operation: Any
    arguments: Any
    input_tensors: list[Any]
    output_tensors: list[Any]
    is_input: bool


def has_graph(layer: Any) -> bool:
    """Whether `nodes` can be had of it: a functional model, or a Sequential that is built."""
    if isinstance(layer, keras.Sequential):
        return bool(getattr(layer, "inputs", None))
    return isinstance(layer, keras.Function)


def nodes(model: Any) -> list[Node]:
    """List the calls in a model's graph, inputs first, each after those that it depends on.

    A layer that is shared is listed as often as this model calls it; models inside are one call each.

    Args:
        model: for which `has_graph` is true.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Function(model.inputs, model.outputs)  # the same nodes
    by_depth = model._nodes_by_depth
    return list(itertools.chain.from_iterable(by_depth[depth] for depth in sorted(by_depth, reverse=True)))


def producer(tensor: Any) -> Any:
    """The layer or operation whose output a symbolic tensor is."""
    return tensor._keras_history.operation


def producing_node(tensor: Any) -> Node:
    """The call whose output a symbolic tensor is: of a layer that is shared, the right one."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


# Heads


def split_head(model: keras.Model) -> tuple[keras.Model, bool]:
    """The part of a classifier that training needs, and whether it ends in logits.

    A last layer that is only a softmax is cut off (the loss is exact on logits); a last layer with a softmax
    inside is left, and a linear one is taken to give logits. A linear `Activation` after these, as mixed precision
    has it for float32 outputs, does not count.

    Raises:
        UsageError: for a model that is not functional, or whose last layer is neither.
    """
    if len(getattr(model, "outputs", None) or ()) != 1:
        raise UsageError(
            f"model must be a built functional or Sequential keras.Model with one output. Received: {model!r}"
        )
    layer, before = _ending(model.outputs[0])
    if _is_softmax_layer(layer):
        return keras.Model(model.inputs[0], before, name="classifier"), True
    return model, _gives_logits(layer)


def with_probabilities(model: keras.Model) -> keras.Model:
    """The model itself, or with a softmax after it where it ends in logits."""
    classifier, from_logits = split_head(model)
    if not from_logits or classifier is not model:
        return model
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(model.outputs[0])
    return keras.Model(model.inputs[0], probabilities, name=model.name)


def last_dense(model: keras.Model) -> Any:
    """The dense layer that gives a classifier's logits, with a softmax inside or after it; None where another does.

    Layers that extend Keras's `Dense` are others: they may compute something else from their weights.
    """
    layer, before = _ending(model.outputs[0])
    if _is_softmax_layer(layer) and before is not None:
        layer, _ = _ending(before)
    if isinstance(layer, keras.Model):
        return last_dense(layer) if len(getattr(layer, "outputs", None) or ()) == 1 else None
    return layer if type(layer) is keras.layers.Dense else None


def _ending(output: Any) -> tuple[Any, Any]:
    """The last layer that does something, and the first tensor that goes into it (None for an input)."""
    while True:
        node = producing_node(output)
        layer, before = node.operation, next(iter(node.input_tensors), None)
        passes = isinstance(layer, keras.layers.Identity) or (
            isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.linear
        )
        if not passes or before is None:
            return layer, before
        output = before


def _is_softmax_layer(layer: Any) -> bool:
    """Over the classes, the last axis of (batch, classes)."""
    if isinstance(layer, keras.layers.Softmax):
        return layer.axis in (-1, 1)
    return isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.softmax


def _gives_logits(layer: Any) -> bool:
    """Whether a last layer gives logits; False where it gives probabilities."""
    if isinstance(layer, keras.Model) and len(getattr(layer, "outputs", None) or ()) == 1:
        return _gives_logits(_ending(layer.outputs[0])[0])
    activation = getattr(layer, "activation", None)
    # keras.ops.softmax is an operation of that name and no layer.
    operation = type(layer).__name__ == "Softmax" and not isinstance(layer, keras.layers.Layer)
    if _is_softmax_layer(layer) or activation is keras.activations.softmax or operation:
        return False
    if activation is keras.activations.linear:
        return True
    raise UsageError(
        f"the last layer of model must be a softmax, or linear for logits. Received: {layer.name!r} "
        f"({type(layer).__name__}, activation={getattr(activation, '__name__', None)})"
    )


# Precision


@contextmanager
def precision(model: keras.Model, policy: str) -> Iterator[None]:
    """Compute in another precision for a while; weights stay float32.

    The layers that see raw pixels and those that give logits and probabilities stay in float32.
    """
    head = producer(model.outputs[0])
    kept = {id(head)}
    if isinstance(head, keras.layers.Softmax | keras.layers.Activation):
        kept.add(id(producer(head.input)))
    changed = []
    if policy != "float32":
        for layer in all_layers(model, include_self=False):
            stays = isinstance(layer, keras.layers.Normalization | keras.layers.Rescaling | keras.layers.InputLayer)
            if id(layer) not in kept and not stays and layer.dtype_policy.name == "float32":
                changed.append(layer)
                layer.dtype_policy = policy
    try:
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = "float32"


# Optimizers


def own_learning_rate(optimizer: keras.optimizers.Optimizer) -> Any:
    """An optimizer's learning rate as it holds it: its variable, or the schedule or function it was given.

    `optimizer.learning_rate` is the schedule's value at this step.
    """
    return optimizer._learning_rate


def step_counter(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """The variable that counts the steps a schedule sees: the inner optimizer's where the loss is scaled.

    `optimizer.iterations` is no variable where gradients are accumulated over several steps.
    """
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer._iterations


def variable_index(optimizer: keras.optimizers.Optimizer, variable: Any) -> int:
    """Index of a trainable weight among those that an optimizer was built with.

    In `update_step` Keras hands over the backend's own variable, which is another object than the weight.
    """
    return optimizer._get_variable_index(variable)

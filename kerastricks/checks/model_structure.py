"""Findings about a model's structure: saturating chains, normalization, dropout, biases without effect."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import keras

from kerastricks.checks.model_finding import ModelFinding, count, make_finding
from kerastricks.checks.model_graph import (
    END,
    ModelGraph,
    activation,
    has_kernel,
    is_dropout,
    is_normalization,
    is_residual,
    keeps_values,
    normalizes,
)
from kerastricks.keras_graph import all_layers

# Hidden layers in a row: four sigmoid layers stay saturated for long, and tanh does well to five (Glorot, Bengio 2010).
# A sigmoid, the slope of which is a quarter at most, counts twice.
_SATURATING = dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax", "sparse_sigmoid", "sparsemax"), 2)
_SATURATING |= dict.fromkeys(("tanh", "hard_tanh", "softsign"), 1)
_LONG = 6
_DEEP = 10  # layers with a kernel
_LOST = 1e-9  # of the signal's second moment, from the first of them to the last
_MOST_DROPPED = 0.8


def structure_findings(model: keras.Model, graph: ModelGraph, factors: Mapping[int, float]) -> Iterator[ModelFinding]:
    """Findings about the order and the rates of layers.

    Args:
        model: functional or Sequential.
        graph: of it.
        factors: of the signal's second moment by step with a kernel; empty for a trained model.
    """
    yield from _saturating(graph)
    yield from _no_normalization(model, graph, factors)
    yield from _dropouts(graph)
    yield from _wasted_biases(graph)


def _saturating(graph: ModelGraph) -> Iterator[ModelFinding]:
    """The longest chain of saturating activations, each after a kernel and before another one."""
    chains: list[tuple[int, ...]] = []
    longest: tuple[int, ...] = ()
    for index, step in enumerate(graph.steps):
        before = max((chains[one] for one in step.before), key=len, default=())
        if has_kernel(step) and _weight(graph, before) > _weight(graph, longest):
            longest = before
        kind = activation(step)
        if kind is not None:
            before = (*before, index) if kind.name in _SATURATING else ()
        elif is_normalization(step) or len(step.before) > 1:
            before = ()
        chains.append(before)
    if _weight(graph, longest) < _LONG:
        return
    kinds = [getattr(activation(graph.steps[index]), "name", "") for index in longest]
    sigmoids = sum(_SATURATING[kind] == 2 for kind in kinds)
    most = f": at most {0.25**sigmoids:.2g} of the gradient passes, a quarter at each {kinds[0]}" if sigmoids else ""
    yield make_finding(
        "saturating_chain",
        "warning",
        [graph.steps[index].name for index in longest],
        f"{len(longest)} hidden layers in a row end in {', '.join(dict.fromkeys(kinds))}{most or ', which saturates'}",
        'activation="relu" with kernel_initializer="he_normal", or BatchNormalization before each activation',
        "glorot",
    )


def _weight(graph: ModelGraph, chain: tuple[int, ...]) -> int:
    return sum(_SATURATING[kind.name] for index in chain if (kind := activation(graph.steps[index])) is not None)


def _no_normalization(model: keras.Model, graph: ModelGraph, factors: Mapping[int, float]) -> Iterator[ModelFinding]:
    kinds = [kind.name for step in graph.steps if (kind := activation(step)) is not None]
    if "selu" in kinds or any(map(is_residual, graph.steps)) or any(map(normalizes, all_layers(model))):
        return
    chains: list[tuple[int, ...]] = []
    for index, step in enumerate(graph.steps):
        before = max((chains[one] for one in step.before), key=len, default=())
        chains.append((*before, index) if has_kernel(step) else before)
    chain = max(chains, key=len, default=())
    if len(chain) < _DEEP:
        return
    hidden = [factors[index] for index in chain[:-1] if index in factors]
    kept = prod(hidden)
    lost = bool(hidden) and not _LOST < kept < 1 / _LOST
    evidence = f"{len(chain)} layers with kernels in a row, 0 normalizations, 0 residual additions"
    if hidden:
        evidence += f"; the scale of the kernels changes the signal's variance by a factor of {kept:.2g}"
    yield make_finding(
        "missing_normalization",
        "warning" if lost else "note",
        [graph.steps[index].name for index in chain],
        evidence,
        f"BatchNormalization() after each of the {len(chain) - 1} hidden kernels, with use_bias=False before it",
        "batch_norm",
    )


def _dropouts(graph: ModelGraph) -> Iterator[ModelFinding]:
    dropouts = [index for index, step in enumerate(graph.steps) if is_dropout(step)]
    rates = {index: float(graph.steps[index].layer.rate) for index in dropouts}
    high = [index for index in dropouts if rates[index] >= _MOST_DROPPED]
    if high:
        highest = max(rates[index] for index in high)
        yield make_finding(
            "dropout_rate",
            "warning",
            [graph.steps[index].name for index in high],
            f"rate {highest:g}: {1 - highest:.0%} of the units are left in a step",
            "rate 0.5, and fewer units where the layer still overfits",
            "dropout",
        )
    for index in dropouts:
        earlier = [one for one in graph.preceding(index, keeps_values) if one in rates and rates[one] and rates[index]]
        if earlier:
            first = rates[earlier[0]]
            yield make_finding(
                "dropouts_in_a_row",
                "warning",
                [graph.steps[earlier[0]].name, graph.steps[index].name],
                f"rates {first:g} and {rates[index]:g} with no kernel between: together "
                f"{1 - (1 - first) * (1 - rates[index]):.3g}",
                f"one dropout of rate {max(first, rates[index]):g}",
                "dropout",
            )
    shifting = {index: normalized for index in dropouts if rates[index] and (normalized := _normalized(graph, index))}
    if shifting:
        index, normalized = next(iter(shifting.items()))
        variance = 1 / (1 - rates[index])
        yield make_finding(
            "dropout_before_batch_norm",
            "warning",
            [graph.steps[one].name for one in shifting],
            f"rate {rates[index]:g} between a kernel and {graph.steps[normalized].name}: in training the second moment "
            f"is {variance:.3g} times that of inference, and the moving variance learns it",
            f"move {graph.steps[index].name} after {graph.steps[normalized].name} and its activation",
            "variance_shift",
        )


def _normalized(graph: ModelGraph, dropout: int) -> int | None:
    """The batch normalization after a dropout that comes after a kernel, without another kernel between."""

    def passes(step: Any) -> bool:
        return not has_kernel(step) and (keeps_values(step) or is_dropout(step) or activation(step) is not None)

    if not any(has_kernel(graph.steps[index]) for index in graph.preceding(dropout, passes)):
        return None
    after = [index for index in graph.following(dropout, passes) if index != END]
    batch_norms = [one for one in after if isinstance(graph.steps[one].layer, keras.layers.BatchNormalization)]
    return batch_norms[0] if batch_norms else None


def _wasted_biases(graph: ModelGraph) -> Iterator[ModelFinding]:
    found = []
    for index, step in enumerate(graph.steps):
        if has_kernel(step) and getattr(step.layer, "bias", None) is not None and activation(step) is None:
            after = graph.following(index, lambda one: "Pooling" in type(one.layer).__name__)
            if all(one != END and isinstance(graph.steps[one].layer, keras.layers.BatchNormalization) for one in after):
                found.append(step)
    if found:
        numbers = sum(prod(step.layer.bias.shape) for step in found)
        yield make_finding(
            "bias_before_batch_norm",
            "note",
            [step.name for step in found],
            f"{count(len(found), 'layer')} with {count(numbers, 'bias', 'biases')} that the batch normalization after "
            "subtracts with the mean",
            "use_bias=False",
            "batch_norm",
        )

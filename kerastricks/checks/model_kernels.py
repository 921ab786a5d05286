"""Findings about kernels: zero, constant, equal units, a scale far from He's and Xavier's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import isclose, sqrt
from typing import Any

import keras
import numpy as np

from kerastricks import activations
from kerastricks.checks.activation_kinds import KERNEL_LAYERS, ActivationKind
from kerastricks.checks.instrument import values
from kerastricks.checks.model_finding import ModelFinding, count, make_finding
from kerastricks.checks.model_graph import (
    ModelGraph,
    Step,
    activation,
    has_kernel,
    is_dropout,
    is_normalization,
    is_residual,
    keeps_values,
)
from kerastricks.checks.unit_check import incoming_weights, same
from kerastricks.errors import KerasTricksError
from kerastricks.initializers.fan_sizes import DEPTHWISE, TRANSPOSED, fans, layer_fans
from kerastricks.keras_graph import all_layers

_FAR = 5.0  # times the standard deviation of He and Xavier: a few such layers leave nothing of the signal
_FEWEST = 8  # weights of which a standard deviation says anything
_SAME = 1e-6  # of a kernel's largest weight
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
_OURS = {"he_normal": "HeNormal", "glorot_normal": "XavierNormal", "lecun_normal": "FanIn"}


@dataclass(frozen=True)
class Kernel:
    """A kernel and its place in the graph.

    Args:
        layer: that holds it.
        name: of the layer, "block/conv" inside another model.
        attribute: its name in the layer.
        array: its values.
        step: index of the layer's first call; None without a graph.
        kind: the activation after it; None for none.
        is_head: whether an output comes after it, without another kernel between.
        is_branch: whether it is the last one of a residual branch.
        is_normalized: whether its output is normalized.
    """

    layer: Any
    name: str
    attribute: str
    array: np.ndarray
    step: int | None
    kind: ActivationKind | None
    is_head: bool
    is_branch: bool
    is_normalized: bool

    @property
    def fans(self) -> tuple[float, float]:
        """Inputs of a unit, and units that an input reaches."""
        return layer_fans(self.layer, self.attribute, self.array.shape) or fans(self.array.shape)

    @property
    def is_depthwise(self) -> bool:
        """Whether each of its units sees a channel of its own."""
        return isinstance(self.layer, DEPTHWISE) or self.attribute == "depthwise_kernel"

    @property
    def units(self) -> int:
        """Outputs of the layer; for a depthwise kernel those of one channel."""
        if isinstance(self.layer, keras.layers.EinsumDense):
            return int(self.fans[1])
        return self.array.shape[-2 if isinstance(self.layer, TRANSPOSED) else -1]

    @cached_property
    def deviation(self) -> float:
        """The root mean square of the weights."""
        return float(np.linalg.norm(self.array)) / sqrt(self.array.size)

    @property
    def factor(self) -> float:
        """Factor of the signal's second moment from layer to layer, 1 for He's rule with the activation's gain."""
        return self.fans[0] * self.deviation**2 / _gain(self.kind.name if self.kind else "linear") ** 2

    @cached_property
    def is_finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return bool(np.isfinite(self.array).all())


def find_kernels(model: keras.Model, graph: ModelGraph | None, names: Mapping[int, str]) -> list[Kernel]:
    """Lists the kernels of all dense layers and convolutions, each once."""
    places: dict[int, int] = {}
    for index, call in enumerate(graph.steps if graph else ()):
        if has_kernel(call):
            for inner in all_layers(call.layer):
                places.setdefault(id(inner), index)
    heads = graph.heads() if graph else set()
    layers = [layer for layer in all_layers(model) if isinstance(layer, KERNEL_LAYERS) and layer.built]
    found = []
    for number, layer in enumerate(layers):
        step = places.get(id(layer))
        is_branch = is_normalized = False
        is_head = step in heads if graph else number == len(layers) - 1
        kind = None
        if graph and step is not None:
            kind, is_branch, is_normalized = _surroundings(graph, step)
        for attribute in _KERNELS:
            kernel = getattr(layer, attribute, None)
            if kernel is not None and "float" in str(kernel.dtype):  # quantized ones are integers
                array = values(kernel)
                name = names[id(layer)]
                found.append(Kernel(layer, name, attribute, array, step, kind, is_head, is_branch, is_normalized))
    return found


def _surroundings(graph: ModelGraph, step: int) -> tuple[ActivationKind | None, bool, bool]:
    """The activation after a kernel, whether a residual addition comes before the next kernel, and a normalization."""

    def silent(one: Step) -> bool:
        return activation(one) is None and (keeps_values(one) or is_dropout(one) or is_normalization(one))

    after = graph.following(step, silent)
    kinds = [activation(graph.steps[index]) for index in after if index >= 0 and not has_kernel(graph.steps[index])]
    kind = activation(graph.steps[step]) or next(iter(kinds), None)
    stops = graph.following(step, lambda one: not has_kernel(one) and not is_residual(one))
    is_branch = any(index >= 0 and is_residual(graph.steps[index]) for index in stops)
    first = graph.following(step, lambda one: keeps_values(one) or is_dropout(one))
    is_normalized = bool(first) and all(index >= 0 and is_normalization(graph.steps[index]) for index in first)
    return kind, is_branch, is_normalized


def signal_factors(kernels: Sequence[Kernel]) -> dict[int, float]:
    """The factor of the signal's second moment at each step with kernels that are finite."""
    factors: dict[int, float] = {}
    for one in kernels:
        if one.step is not None and one.is_finite:
            factors[one.step] = factors.get(one.step, 1.0) * one.factor
    return factors


def kernel_findings(kernels: Sequence[Kernel], graph: ModelGraph | None, is_trained: bool) -> Iterator[ModelFinding]:
    """Findings about kernels, one kind for a kernel at most.

    Args:
        kernels: see `find_kernels`.
        graph: of the model; None for a subclassed model.
        is_trained: whether the model was trained: then no scale is judged.
    """
    finite = [kernel for kernel in kernels if kernel.is_finite]
    zero = [one for one in finite if not one.array.any() and not one.is_head and not one.is_branch]
    if zero:
        yield make_finding(
            "zero_kernel",
            "error",
            [one.name for one in zero],
            f"all {count(sum(one.array.size for one in zero), 'weight')} are 0: the units are equal, and no gradient "
            "passes to the layers before",
            _rule(zero[0]),
            "symmetry",
        )
    rest = [one for one in finite if one.array.any()]
    equal = _equal_units(rest)
    yield from equal
    if not is_trained:
        flagged = {name for finding in equal for name in finding.layers}
        yield from _scale([one for one in rest if one.name not in flagged], graph)


def _equal_units(kernels: Sequence[Kernel]) -> list[ModelFinding]:
    """Kernels of one value, and kernels with equal units."""
    findings = []
    constant, repeated = [], []
    for one in kernels:
        if one.is_head or not one.layer.trainable or one.is_depthwise or one.units < 2:
            continue
        if np.ptp(one.array) == 0:
            constant.append(one)
            continue
        rows = incoming_weights(one.layer)
        if rows is not None and np.isfinite(rows).all():
            # Units of zeros, as pruned ones of a trained model are, are left out.
            rows = rows[np.abs(rows).max(axis=1) > _SAME * np.abs(rows).max()]
            different = len(same(rows, _SAME))
            # One float32 per unit: among thousands, two are equal by chance.
            if different < (len(rows) if rows.shape[1] > 2 else min(2, len(rows))):
                repeated.append((one, different))
    if constant:
        first = constant[0]
        finding = make_finding(
            "constant_kernel",
            "error",
            [one.name for one in constant],
            f"all {count(first.array.size, 'weight')} of {first.name} are {first.array.flat[0]:.3g}: its "
            f"{first.units:,} units are equal, and get equal gradients",
            _rule(first),
            "symmetry",
        )
        findings.append(finding)
    if repeated:
        first, different = repeated[0]
        finding = make_finding(
            "equal_units",
            "warning",
            [one.name for one, _ in repeated],
            f"{different:,} different ones among {count(first.units, 'unit')} of {first.name}: equal units "
            "may stay equal in training",
            _rule(first),
            "symmetry",
        )
        findings.append(finding)
    return findings


def _scale(kernels: Sequence[Kernel], graph: ModelGraph | None) -> Iterator[ModelFinding]:
    has_branches = graph is not None and any(map(is_residual, graph.steps))
    far = []
    for one in kernels:
        if one.array.size < _FEWEST or one.is_normalized or not one.layer.trainable:
            continue
        low, high = _usual(one)
        ratio = one.deviation / min(max(one.deviation, low), high)
        # A small head and small residual branches are a good start.
        if ratio > _FAR or (ratio < 1 / _FAR and not one.is_head and not has_branches):
            far.append((abs(np.log(ratio)), one, ratio))
    if not far:
        return
    _, worst, ratio = max(far, key=lambda one: one[0])
    n_in, n_out = worst.fans
    gain = _gain(worst.kind.name if worst.kind else "linear")
    times = f"{ratio:.3g} times that" if ratio > 1 else f"1/{1 / ratio:.3g} of that"
    yield make_finding(
        "kernel_scale",
        "warning",
        [one.name for _, one, _ in far],
        f"{worst.name}: standard deviation {worst.deviation:.3g}; for {n_in:g} inputs, {n_out:g} outputs and "
        f"{worst.kind.name if worst.kind else 'no activation'} He gives {gain / sqrt(n_in):.3g} and Xavier "
        f"{sqrt(2 / (n_in + n_out)):.3g}: {times} (said of untrained models only, and this one looks untrained)",
        _rule(worst),
        "he" if worst.kind and worst.kind.rectifies else "glorot",
    )


def _usual(kernel: Kernel) -> tuple[float, float]:
    """The least and the largest standard deviation of LeCun's, Xavier's and He's rules, with our fans and Keras's."""
    gain = _gain(kernel.kind.name if kernel.kind else "linear")
    rules = []
    for n_in, n_out in (kernel.fans, fans(kernel.array.shape)):
        rules += [sqrt(1 / n_in), sqrt(2 / (n_in + n_out)), gain / sqrt(n_in), gain / sqrt(n_out)]
    return min(rules), max(rules)


@cache
def _gain(name: str) -> float:
    try:
        return activations.gain(name)
    except (KerasTricksError, ValueError, TypeError):
        return 1.0  # softmax, and functions that are not Keras's


def _rule(kernel: Kernel) -> str:
    """The argument and the initializer for a kernel, with the deviation that it gives.

    It is Keras's where Keras counts the inputs and outputs as we do, else ours: see `layer_fans`.
    """
    if kernel.kind is not None and kernel.kind.name == "selu":
        name, deviation = "lecun_normal", lambda n_in, n_out: sqrt(1 / n_in)
    elif kernel.kind is not None and kernel.kind.rectifies:
        name, deviation = "he_normal", lambda n_in, n_out: sqrt(2 / n_in)
    else:
        name, deviation = "glorot_normal", lambda n_in, n_out: sqrt(2 / (n_in + n_out))
    wanted = deviation(*kernel.fans)
    of_keras = isclose(wanted, deviation(*fans(kernel.array.shape)))
    initializer = f'"{name}"' if of_keras else f"kerastricks.initializers.{_OURS[name]}()"
    argument = "depthwise" if kernel.is_depthwise else kernel.attribute.removesuffix("_kernel")
    return f"{argument}_initializer={initializer}, of standard deviation {wanted:.3g} for {kernel.name}"

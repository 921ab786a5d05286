"""Findings about other weights: NaN, regularized biases and scales, statistics that nothing has set."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from kerastricks.checks.activation_kinds import KERNEL_LAYERS
from kerastricks.checks.instrument import values
from kerastricks.checks.model_finding import ModelFinding, count, make_finding
from kerastricks.checks.model_graph import ModelGraph, keeps_values
from kerastricks.initializers.lsuv_kernels import LSUV
from kerastricks.initializers.patch_whitening import PatchWhitening
from kerastricks.keras_graph import all_layers
from kerastricks.layers.adapting import AdaptingLayer
from kerastricks.regularizers import undecayed


def training_sign(model: keras.Model, names: Mapping[int, str], steps: int = 0) -> str | None:
    """Evidence that a model was trained; None for one that looks as it was created.

    Args:
        model: built.
        names: see `layer_names`.
        steps: of the optimizer, where they are known.
    """
    if steps:
        return f"the optimizer has taken {count(steps, 'step')}"
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.built and not _untouched(layer):
            return f"{names[id(layer)]} has moving statistics other than 0 and 1"
        if not isinstance(layer, (*KERNEL_LAYERS, keras.layers.BatchNormalization, keras.layers.LayerNormalization)):
            continue
        for weight, initializer, start in (
            ("bias", "bias_initializer", keras.initializers.Zeros),
            ("beta", "beta_initializer", keras.initializers.Zeros),
            ("gamma", "gamma_initializer", keras.initializers.Ones),
        ):
            variable = getattr(layer, weight, None)
            if isinstance(variable, keras.Variable) and isinstance(getattr(layer, initializer, None), start):
                moved = int(np.count_nonzero(values(variable) != (weight == "gamma")))
                if moved:
                    size = int(np.prod(variable.shape))
                    return f"{count(moved, 'number')} of {size:,} in {names[id(layer)]}/{weight} have left their start"
    return None


def weight_findings(
    model: keras.Model, graph: ModelGraph | None, names: Mapping[int, str], sign: str | None
) -> Iterator[ModelFinding]:
    """Findings about weights that are no matter of initialization.

    Args:
        model: built.
        graph: of it; None for a subclassed model.
        names: see `layer_names`.
        sign: of training, see `training_sign`.
    """
    yield from _not_finite(model, names)
    yield from _regularized(model, names)
    yield from _unset(model, graph, names, sign)


def _not_finite(model: keras.Model, names: Mapping[int, str]) -> Iterator[ModelFinding]:
    seen: set[int] = set()
    found: dict[str, int] = {}
    total = 0
    for layer in reversed(all_layers(model)):  # those inside before those around them
        for variable in layer.weights:
            if id(variable) in seen or "float" not in str(variable.dtype):
                continue
            seen.add(id(variable))
            bad = int(np.count_nonzero(~np.isfinite(values(variable))))
            if bad:
                found[names[id(layer)]] = found.get(names[id(layer)], 0) + bad
                total += int(np.prod(variable.shape))
    if found:
        yield make_finding(
            "non_finite_weights",
            "error",
            reversed(found),
            f"{sum(found.values()):,} of {count(total, 'weight')} are NaN or infinite: so is every prediction",
            "train again with clipnorm=1.0, a tenth of the learning rate and keras.callbacks.TerminateOnNaN()",
            "clipping",
        )


def _regularized(model: keras.Model, names: Mapping[int, str]) -> Iterator[ModelFinding]:
    exempt = {id(weight) for weight in undecayed(model)}
    found: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    seen: set[int] = set()
    for layer in reversed(all_layers(model)):
        for weight in layer.weights:
            if id(weight) in exempt and id(weight) not in seen:
                seen.add(id(weight))
                penalty = _penalty(weight)
                if penalty:
                    is_bias = weight.name == "bias" or weight.name.endswith("_bias")
                    found[is_bias].setdefault(names[id(layer)], (weight.name, penalty))
    for is_bias, layers in found.items():
        if not layers:
            continue
        name, penalty = next(reversed(layers.values()))
        is_slope = name == "alpha"
        what = "bias" if is_bias else "slope" if is_slope else "scale or offset"
        plural = "biases" if is_bias else "slopes" if is_slope else "scales or offsets"
        yield make_finding(
            "regularized_bias" if is_bias else "regularized_scale",
            "warning",
            reversed(layers),
            f"{count(len(layers), what, plural)} with the penalty {penalty}: decay is for kernels",
            f"{name}_regularizer=None; for decoupled decay "
            "optimizer.exclude_from_weight_decay(var_list=kerastricks.regularizers.undecayed(model))",
            "prelu" if is_slope else "bag_of_tricks",
        )


def _penalty(weight: Any) -> str:
    """The regularizer of a weight as text; "" without one, or with one of strength 0."""
    regularizer = weight.regularizer
    if regularizer is None:
        return ""
    strengths = {name: float(getattr(regularizer, name, 0.0)) for name in ("l1", "l2")}
    known = [f"{name} {strength:g}" for name, strength in strengths.items() if strength]
    is_keras = isinstance(regularizer, keras.regularizers.L1 | keras.regularizers.L2 | keras.regularizers.L1L2)
    return " and ".join(known) or ("" if is_keras else type(regularizer).__name__)


def _untouched(layer: Any) -> bool:
    return bool(np.all(values(layer.moving_mean) == 0) and np.all(values(layer.moving_variance) == 1))


def _unset(
    model: keras.Model, graph: ModelGraph | None, names: Mapping[int, str], sign: str | None
) -> Iterator[ModelFinding]:
    """Statistics that nothing has set."""

    def named(test: Callable[[Any], bool]) -> list[str]:
        return [names[id(layer)] for layer in all_layers(model) if getattr(layer, "built", False) and test(layer)]

    def waits_for_data(layer: Any) -> bool:
        initializer = getattr(layer, "kernel_initializer", None)
        return isinstance(initializer, LSUV) or (
            isinstance(initializer, PatchWhitening) and initializer.eigenvalues is None
        )

    unfitted = named(lambda layer: isinstance(layer, AdaptingLayer) and not layer.is_adapted)
    if unfitted:
        yield make_finding(
            "layer_not_fitted",
            "error",
            unfitted,
            f"{count(len(unfitted), 'layer')} adapted to 0 images: a call raises an error",
            f'model.get_layer("{unfitted[0].rpartition("/")[2]}").adapt(training images), before training',
            "backprop",
        )
    identity = named(_is_identity)
    if identity:
        scaled = graph is not None and all(_after_rescaling(graph, name) for name in identity)
        yield make_finding(
            "normalization_not_adapted",
            "note" if scaled else "warning",
            identity,
            "mean 0 and variance 1: the layer passes its input on as it is"
            + ("; Rescaling before it has scaled the input" if scaled else ""),
            "adapt(training images), or "
            + (
                "remove the layer"
                if scaled
                else "Normalization(mean=127.5, variance=127.5**2) for pixels from 0 to 255"
            ),
            "backprop",
        )
    still = named(lambda layer: isinstance(layer, keras.layers.BatchNormalization) and _untouched(layer))
    if still and sign is not None:
        yield make_finding(
            "batch_norm_not_updated",
            "warning",
            still,
            f"{count(len(still), 'layer')} with moving mean 0 and variance 1 in a trained model ({sign}): inference "
            "does not normalize",
            "kerastricks.layers.recompute_batch_norm(model, batches) with 2,000 training images",
            "moving_statistics",
        )
    waiting = named(waits_for_data)
    if waiting:
        yield make_finding(
            "kernel_waits_for_data",
            "note" if sign is None else "warning",
            waiting,
            f"{count(len(waiting), 'kernel')} of which the initializer asks for images, and has seen 0",
            "kerastricks.initializers.start_from_data(model, 2,000 training images), as kerastricks train does",
            "whitening",
        )


def _is_identity(layer: Any) -> bool:
    if not isinstance(layer, keras.layers.Normalization) or layer.input_mean is not None:
        return False
    return bool(np.all(values(layer.adapt_mean) == 0) and np.all(values(layer.adapt_variance) == 1))


def _after_rescaling(graph: ModelGraph, name: str) -> bool:
    index = next((index for index, step in enumerate(graph.steps) if step.name == name), None)
    if index is None:
        return False
    before = graph.preceding(index, keeps_values)
    return bool(before) and all(isinstance(graph.steps[one].layer, keras.layers.Rescaling) for one in before)

"""The check of a model without data: initialization, structure, outputs and loss, from its file."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerastricks.checks.model_finding import SEVERITIES, ModelFinding, count, make_finding
from kerastricks.checks.model_graph import ModelGraph, layer_names
from kerastricks.checks.model_inputs import input_findings
from kerastricks.checks.model_kernels import find_kernels, kernel_findings, signal_factors
from kerastricks.checks.model_outputs import find_outputs, losses_of, output_findings, read_compiled
from kerastricks.checks.model_structure import structure_findings
from kerastricks.checks.model_weights import training_sign, weight_findings
from kerastricks.classifier_file import load_model_file
from kerastricks.errors import UsageError
from kerastricks.keras_graph import all_layers, has_graph, step_counter
from kerastricks.models.calls import shape_text

_NO_LAYERS = (keras.Model, keras.layers.InputLayer)


@dataclass(frozen=True)
class ModelReport:
    """The faults of a model that show without data.

    Args:
        model: its name.
        layers: how many it has, those in nested models included.
        weights: how many numbers they hold.
        trained: evidence that it was trained; None where it looks untrained.
        inputs: "32x32x3" for each.
        outputs: "10 x softmax (probabilities)" for each; empty for a subclassed model.
        loss: that it was compiled with; None where it was not compiled.
        findings: the most severe first; one of code "healthy" where there is no error and no warning.
    """

    model: str
    layers: int
    weights: int
    trained: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    loss: str | None
    findings: tuple[ModelFinding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether there is no error and no warning."""
        return not any(finding.is_fault for finding in self.findings)

    def to_text(self) -> str:
        """Formats a title, what the model is, and the findings."""
        state = f"trained ({self.trained})" if self.trained else "untrained, as far as its weights show"
        head = [
            f"{self.model}: {count(self.layers, 'layer')}, {count(self.weights, 'weight')}, {state}",
            f"input {', '.join(self.inputs) or 'unknown'}; output {', '.join(self.outputs) or 'unknown'}; "
            + (f"loss {self.loss}" if self.loss else "not compiled: no loss to compare with"),
        ]
        return "\n\n".join(["\n".join(head), *map(str, self.findings)])

    def __str__(self) -> str:
        return self.to_text()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "layers": self.layers,
            "weights": self.weights,
            "trained": self.trained,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "loss": self.loss,
            "healthy": self.is_healthy,
            "findings": [finding.to_json() for finding in self.findings],
        }


def check_model(model: keras.Model | str | os.PathLike[str], *, raw_pixels: bool | None = None) -> ModelReport:
    """Finds the faults of a model that show in its file, without any data.

    Weights: NaN, kernels that are zero or constant, equal units, a scale far from what He's and Xavier's rules give
    (of untrained models only), penalties on biases and scales, normalization that was never fitted. Structure: chains
    of saturating activations, deep networks without normalization, dropout in the wrong place, augmentation left in
    the graph, raw pixels, biases that batch normalization removes, kernels and sizes that do not fit. Outputs: those
    that do not match the compiled loss. What needs data is for `check_signal`, `check_activations` and `check_units`.

    Nested models are looked into. In a subclassed model only the weights are checked, and the report says so.

    Args:
        model: a built model, or the path of a `.keras` file; left as it is.
        raw_pixels: whether the input is pixels from 0 to 255, as kerastricks feeds them; None where that is unknown,
            and then an input without scaling is a note.

    Returns:
        A `ModelReport`: `findings`, `is_healthy`, `to_text()`, `to_json()`.

    Raises:
        ModelFileError: for a file that is missing, damaged or not of Keras, or with a layer that is not registered.
        UsageError: for a model that is not built.

    Example:
        >>> import keras, kerastricks
        >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "relu", kernel_initializer="zeros")]
        >>> report = kerastricks.checks.check_model(keras.Sequential([*layers, keras.layers.Dense(1)]))
        >>> [(finding.code, finding.severity) for finding in report.findings]
        [('zero_kernel', 'error')]

    Reference:
        Each finding names its own. Glorot, Bengio: Understanding the Difficulty of Training Deep Feedforward Neural
        Networks, AISTATS 2010; He et al.: Delving Deep into Rectifiers, ICCV 2015, arXiv 1502.01852; Li et al.:
        Understanding the Disharmony between Dropout and Batch Normalization, arXiv 1801.05134.
    """
    if isinstance(model, keras.Model):
        optimizer = getattr(model, "optimizer", None)
        steps = int(keras.ops.convert_to_numpy(step_counter(optimizer))) if optimizer is not None else 0
        loss = getattr(model, "loss", None) if getattr(model, "compiled", False) else None
        loaded = model
    else:
        path = Path(os.path.expanduser(model))
        loaded = load_model_file(path)
        loss, steps = read_compiled(path)
    if not loaded.built:
        raise UsageError(f"model must be built: call it on a batch or give it a keras.Input. Received: {loaded.name!r}")
    graph = ModelGraph(loaded) if has_graph(loaded) else None
    names = layer_names(loaded, graph)
    sign = training_sign(loaded, names, steps)
    outputs = find_outputs(graph) if graph else []
    losses = losses_of(loss, getattr(loaded, "output_names", [""])) if graph else []  # a Sequential has one, unnamed
    findings = list(_findings(loaded, graph, names, sign, raw_pixels))
    if graph:
        findings += output_findings(graph, outputs, losses)
    size = loaded.count_params()
    if not any(finding.is_fault for finding in findings):
        findings.append(_healthy(graph, size, sign))
    return ModelReport(
        model=loaded.name,
        layers=len([layer for layer in all_layers(loaded) if not isinstance(layer, _NO_LAYERS)]),
        weights=size,
        trained=sign,
        inputs=tuple(shape_text(tensor.shape) for tensor in (loaded.inputs if graph else ())),
        outputs=tuple(map(str, outputs)),
        loss=", ".join(dict.fromkeys(str(one) for one in losses if one is not None)) or None,
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
    )


def _findings(
    model: keras.Model, graph: ModelGraph | None, names: dict[int, str], sign: str | None, raw_pixels: bool | None
) -> Iterator[ModelFinding]:
    kernels = find_kernels(model, graph, names)
    yield from kernel_findings(kernels, graph, sign is not None)
    yield from weight_findings(model, graph, names, sign)
    if graph is not None:
        yield from structure_findings(model, graph, {} if sign else signal_factors(kernels))
        yield from input_findings(model, graph, raw_pixels)
    else:
        yield make_finding(
            "no_graph",
            "note",
            [],
            f"{type(model).__name__} is subclassed: its {len(kernels):,} kernels were checked, its structure was not",
            "build it as keras.Model(inputs, outputs) from the same layers",
            "notes",
        )


def _healthy(graph: ModelGraph | None, weights: int, sign: str | None) -> ModelFinding:
    looked = "weights, structure and outputs" if graph else "weights"
    return make_finding(
        "healthy",
        "ok",
        [],
        f"0 errors and 0 warnings in {looked}; all {count(weights, 'weight')} are finite",
        "kerastricks check activation MODEL DATA counts dead units on 2,048 images"
        if sign
        else "kerastricks check init MODEL DATA measures signal and gradient on 256 images",
        "glorot",
    )

"""Findings about a model's outputs, and whether they match the loss that it was compiled with."""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerastricks.checks.model_finding import ModelFinding, Severity, make_finding
from kerastricks.checks.model_graph import ModelGraph, activation, has_kernel, keeps_values

_CATEGORICAL = ("categoricalcrossentropy", "labelsmoothingcrossentropy", "categoricalfocalcrossentropy")
_BINARY = ("binarycrossentropy", "binaryfocalcrossentropy", "bce")


@dataclass(frozen=True)
class Loss:
    """A loss as far as it matters for the outputs.

    Args:
        name: "SparseCategoricalCrossentropy", or a function's.
        from_logits: whether it applies the softmax or sigmoid itself; None where that is not known, of losses that are
            not Keras's.
    """

    name: str
    from_logits: bool | None

    @property
    def kind(self) -> str:
        """ "categorical", "binary", or "other"."""
        if self.from_logits is None:
            return "other"
        name = self.name.lower().replace("_", "")
        if name.endswith(_CATEGORICAL):
            return "categorical"
        return "binary" if name.endswith(_BINARY) else "other"

    def __str__(self) -> str:
        return f"{self.name}(from_logits={self.from_logits})" if self.kind != "other" else self.name


@dataclass(frozen=True)
class Output:
    """An output of a model.

    Args:
        layer: name of the layer that makes it.
        kind: its activation: "softmax", "sigmoid", "linear" after a kernel without one, "" for others.
        units: size of the axis of the classes: the softmax's, else the last; None where it is open.
    """

    layer: str
    kind: str
    units: int | None

    def __str__(self) -> str:
        what = {"softmax": "probabilities", "sigmoid": "independent probabilities", "linear": "logits"}.get(self.kind)
        made = f"{self.kind or self.layer}{f' ({what})' if what else ''}"
        return f"{'?' if self.units is None else f'{self.units:,}'} x {made}"


def find_outputs(graph: ModelGraph) -> list[Output]:
    """Lists the outputs of a model, in order."""
    found = []
    for end in graph.outputs:
        step = graph.steps[end]
        while keeps_values(step) and len(step.before) == 1:
            step = graph.steps[step.before[0]]
        kind = activation(step)
        name = kind.name if kind is not None else "linear" if has_kernel(step) else ""
        found.append(Output(step.name, name, _width(step) if name == "softmax" else graph.steps[end].shape[-1]))
    return found


def output_findings(graph: ModelGraph, outputs: list[Output], losses: list[Loss | None]) -> Iterator[ModelFinding]:
    """Findings about outputs and losses.

    Args:
        graph: of the model.
        outputs: see `find_outputs`.
        losses: for each output; None where it is unknown.
    """
    single = [
        step.name for step in graph.steps if (kind := activation(step)) and kind.name == "softmax" and _width(step) == 1
    ]
    if single:
        yield make_finding(
            "softmax_of_one_unit",
            "error",
            single,
            "a softmax over 1 unit is 1 for every image, and has no gradient",
            'activation="sigmoid" with BinaryCrossentropy() for two classes, or a unit for each class',
            "softmax",
        )
    for output, loss in zip(outputs, losses, strict=True):
        if loss is not None and loss.kind != "other" and output.layer not in single:
            yield from _mismatch(output, loss)


def _mismatch(output: Output, loss: Loss) -> Iterator[ModelFinding]:
    kind = output.kind

    def found(code: str, severity: Severity, what: str, step: str) -> ModelFinding:
        return make_finding(code, severity, [output.layer], f"{output} with {loss}: {what}", step, "softmax")

    if loss.kind == "categorical" and output.units == 1:
        yield found(
            "categorical_loss_of_one_unit",
            "error",
            "over 1 class the loss is 0 whatever the image",
            'activation="sigmoid" with BinaryCrossentropy(), or 2 units with softmax',
        )
    elif kind in ("softmax", "sigmoid") and loss.from_logits:
        yield found(
            "loss_expects_logits",
            "error",
            f"the {kind} is applied twice, and the gradient shrinks to a fraction",
            f"{loss.name}(from_logits=False), or no activation in {output.layer}",
        )
    elif kind == "linear" and not loss.from_logits:
        yield found(
            "loss_expects_probabilities",
            "error",
            "logits below 0 and above 1 are clipped, and get no gradient",
            f"{loss.name}(from_logits=True)",
        )
    elif kind == "softmax" and loss.kind == "binary":
        yield found(
            "softmax_with_binary_crossentropy",
            "warning",
            "the classes exclude each other, and the loss treats each as a question of its own",
            "CategoricalCrossentropy() for one-hot labels, or SparseCategoricalCrossentropy() for indices",
        )
    elif kind == "sigmoid" and loss.kind == "categorical":
        yield found(
            "sigmoid_with_categorical_crossentropy",
            "warning",
            "the outputs do not sum to 1, as the loss takes them to",
            'activation="softmax" for classes that exclude each other, else BinaryCrossentropy()',
        )


def _width(step: Any) -> int | None:
    axis = getattr(step.layer, "axis", -1)
    return step.shape[axis] if isinstance(axis, int) and -len(step.shape) <= axis < len(step.shape) else None


def losses_of(configs: Any, names: Sequence[str]) -> list[Loss | None]:
    """The loss of each output.

    Args:
        configs: what `compile` got as `loss`, or its form in a file: one loss, a list, or a dictionary by output.
        names: of the outputs.
    """
    if isinstance(configs, Mapping) and "class_name" not in configs:
        return [_loss(configs.get(name)) for name in names]
    if isinstance(configs, list | tuple):
        return [_loss(one) for one in configs] if len(configs) == len(names) else [None] * len(names)
    return [_loss(configs)] * len(names)


def _loss(loss: Any) -> Loss | None:
    if loss is None:
        return None
    if isinstance(loss, keras.losses.Loss):
        with suppress(NotImplementedError, TypeError):  # one that no file can hold
            loss = keras.saving.serialize_keras_object(loss)
    if isinstance(loss, Mapping):
        if isinstance(loss.get("config"), Mapping):
            return Loss(str(loss.get("class_name")), loss["config"].get("from_logits"))
        loss = loss.get("config")  # a function's name, "package>name" where it is registered
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return Loss(name.rpartition(">")[2] or name, False if _is_keras(name) else None)


def _is_keras(name: str) -> bool:
    try:
        return keras.losses.get(name) is not None
    except ValueError:
        return False


def read_compiled(path: Path) -> tuple[Any, int]:
    """Reads the loss that the model in a file was compiled with, and the steps that its optimizer has taken.

    Args:
        path: a `.keras` file.

    Returns:
        The loss as the file has it, None for a model that is not compiled; and the steps, 0 where there are none.
    """
    if path.suffix != ".keras":
        return None, 0
    import h5py

    with zipfile.ZipFile(path) as archive:
        compiled = json.loads(archive.read("config.json")).get("compile_config") or {}
        steps = 0
        with archive.open("model.weights.h5") as file, h5py.File(file, "r") as weights:
            counts = weights.get("optimizer", {})
            while "inner_optimizer" in counts:  # that of a LossScaleOptimizer, whose own count stays 0
                counts = counts["inner_optimizer"]
            iterations = counts.get("vars/0")
            if iterations is not None and iterations.shape == ():
                steps = int(iterations[()])
    return compiled.get("loss"), steps

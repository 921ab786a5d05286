"""The answer of an inspection: what a model file has in it, and what is refused."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Format = Literal["keras", "hdf5", "hdf5_weights", "saved_model"]
FORMATS: dict[Format, str] = {
    "keras": ".keras archive",
    "hdf5": "HDF5, whole model",
    "hdf5_weights": "HDF5, weights only",
    "saved_model": "SavedModel",
}
MOST_FINDINGS = 1000
_MOST_LINES = 60  # of layers or findings in the text


def shortened(text: str, longest: int = 100) -> str:
    """Quote a text of a file so that it is one line without control characters."""
    shown = ascii(text[: longest + 1])[1:-1] if not text.isprintable() else text
    return shown if len(shown) <= longest else shown[:longest] + "..."


@dataclass(frozen=True, kw_only=True)
class FileFinding:
    """Something in a model file that is refused or worth knowing.

    Args:
        code: stable, for programs: "entry", "size", "json", "code", "address", "unknown_object", "link" ...
        where: the entry of the archive, the path in the HDF5 file or in the JSON.
        why: what is there, and why it is refused.
        refused: whether the file is not to be imported for it; False for a note.
    """

    code: str
    where: str
    why: str
    refused: bool = True

    def __str__(self) -> str:
        return f"{'refused' if self.refused else 'note':<9}{shortened(self.where, 300)}: {self.why} [{self.code}]"


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """A layer as its model's configuration names it.

    Args:
        name: of the layer, after the names of the models that it is in: "outer/inner".
        class_name: with its package where it has one: "Addons>InstanceNormalization".
        parameters: number of stored weights; None where they cannot be told from those of others.
    """

    name: str
    class_name: str
    parameters: int | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Contents of a model file, read without Keras or TensorFlow, and without executing anything.

    Args:
        path: of the file or folder.
        format: by its bytes: "keras", "hdf5", "hdf5_weights" or "saved_model".
        keras_version: that wrote it, as it says; None where it does not say.
        file_bytes: size of the file, of all files of a folder.
        class_name: class of the model; None where the file has weights only.
        name: of the model.
        layers: in the order of the configuration, those of nested models after them.
        parameters: number of stored weights, without the optimizer's.
        dtypes: stored dtype to number of parameters.
        weight_bytes: memory that the weights need.
        optimizer_bytes: memory that the stored optimizer's variables need as well.
        custom_objects: registered names that are not Keras's own, known and unknown ones.
        optimizer: "class" and settings of the stored optimizer; None where there is none.
        losses: names of the stored losses.
        metrics: names of the stored metrics.
        signatures: names of a SavedModel's signatures.
        operations: operations of a SavedModel's graph and how often each is there.
        findings: what is refused, then notes.
    """

    path: str
    format: Format
    keras_version: str | None = None
    file_bytes: int = 0
    class_name: str | None = None
    name: str | None = None
    layers: tuple[LayerSummary, ...] = ()
    parameters: int = 0
    dtypes: Mapping[str, int] = field(default_factory=dict)
    weight_bytes: int = 0
    optimizer_bytes: int = 0
    custom_objects: tuple[str, ...] = ()
    optimizer: Mapping[str, Any] | None = None
    losses: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    operations: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[FileFinding, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether anything in the file is refused."""
        return any(one.refused for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "refused": self.refused}

    def __str__(self) -> str:
        rows = [
            ("format", f"{FORMATS[self.format]}, Keras {self.keras_version or 'version unknown'}"),
            ("model", f"{self.class_name or 'not stored'}{f' {self.name!r}' if self.name else ''}"),
            ("parameters", f"{self.parameters:,} ({', '.join(sorted(self.dtypes)) or 'none stored'})"),
            ("memory", f"{_size(self.weight_bytes)}, with optimizer {_size(self.total_bytes)}"),
            ("custom", ", ".join(map(shortened, self.custom_objects)) or "none"),
            ("optimizer", "none" if self.optimizer is None else _settings(self.optimizer)),
            ("losses", ", ".join(map(shortened, self.losses)) or "none"),
            ("metrics", ", ".join(map(shortened, self.metrics)) or "none"),
        ]
        if self.format == "saved_model":
            common = sorted(self.operations.items(), key=lambda item: (-item[1], item[0]))[:6]
            counted = ", ".join(f"{shortened(name)} {count:,}" for name, count in common)
            rows.append(("signatures", ", ".join(map(shortened, self.signatures)) or "none"))
            rows.append(("operations", f"{sum(self.operations.values()):,}: {counted}"))
        lines = [f"{self.path}: {_size(self.file_bytes)}"]
        lines += [f"  {label:<11}{value}" for label, value in rows]
        if self.layers:
            names = [(shortened(one.name, 60), shortened(one.class_name, 40)) for one in self.layers[:_MOST_LINES]]
            widths = [max(map(len, column)) for column in zip(*names, strict=True)]
            for (name, kind), one in zip(names, self.layers, strict=False):
                count = "" if one.parameters is None else f"{one.parameters:>12,}"
                lines.append(f"    {name:<{widths[0]}}  {kind:<{widths[1]}}{count}".rstrip())
            lines += _left(len(self.layers), "layers")
        lines += [f"  {finding}" for finding in self.findings[:_MOST_LINES]]
        lines += _left(len(self.findings), "findings")
        number = sum(one.refused for one in self.findings)
        lines.append(f"refused: {number} finding{'s' if number > 1 else ''}" if number else "nothing is refused")
        return "\n".join(lines)

    @property
    def total_bytes(self) -> int:
        """Memory for the weights and the stored optimizer's variables."""
        return self.weight_bytes + self.optimizer_bytes


def _left(count: int, kind: str) -> list[str]:
    return [f"    and {count - _MOST_LINES:,} {kind} more: --json"] if count > _MOST_LINES else []


def _settings(stored: Mapping[str, Any]) -> str:
    inside = [
        f"{shortened(key)}={_settings(value) if isinstance(value, Mapping) else shortened(str(value))}"
        for key, value in stored.items()
        if key not in ("class", "name") and value is not None
    ]
    return f"{shortened(str(stored['class']))}({', '.join(inside)})"


def _size(count: int) -> str:
    """Format bytes with three digits: "82.6 kB", "10.2 MB"."""
    value, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} bytes" if unit == "bytes" else f"{value:.3g} {unit}"

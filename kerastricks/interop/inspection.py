"""Inspection of model files that anybody may have written: nothing is imported, built or run."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from kerastricks.errors import ModelFileError, first_line
from kerastricks.interop.archives import open_archive, open_entry, read_entry
from kerastricks.interop.configs import MOST_JSON, ConfigCheck, decode_config, layers_of, read_training
from kerastricks.interop.hdf5 import HDF5Contents, StoredArray, walk_hdf5
from kerastricks.interop.report import FileFinding, Inspection, LayerSummary, shortened
from kerastricks.interop.saved_model import inspect_saved_model

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\3\4"
_NO_WEIGHTS = re.compile("^(optimizer|optimizer_weights|metrics|loss|_loss_tracker)/|seed_generator")


def inspect(source: str | os.PathLike[str] | BinaryIO) -> Inspection:
    """Say what a model file contains, and what in it is refused, without Keras, TensorFlow or running anything.

    A file is opened once, and everything is read through that one open file (of a folder each file once, and no link);
    links in it are never followed. Where `refused` is False, the archive has the entries of a Keras model only, every
    reader finds the same bytes in them, no data set is elsewhere or larger than what is stored, and the JSON names only
    classes and functions of the allow-list, sizes within reason, and no address or file. That holds for the bytes as
    they were: whoever loads the file afterwards hands in an open copy that nobody else can write to, and loads from
    that one. It is no statement about errors in the libraries that load it, nor about what the weights compute.

    Args:
        source: a `.keras` or HDF5 file of Keras 1 to 3 or the folder of a SavedModel; or a file that is open for
            reading in binary mode, which is left open.

    Returns:
        Format, layers, parameters, optimizer and findings.

    Raises:
        ModelFileError: where it is missing, no regular file, damaged, or no model.

    Example:
        >>> import tempfile, pathlib, kerastricks
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "model.keras"
        >>> _ = path.write_bytes(b"import os")
        >>> try:
        ...     kerastricks.interop.inspect(path)
        ... except kerastricks.errors.ModelFileError as error:
        ...     print(str(error).partition(": ")[2])
        is no Keras model (neither a zip archive nor HDF5): give a .keras or .h5 file, or the folder of a SavedModel
        >>> folder.cleanup()
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            return inspect_saved_model(path)
        with _opened(path) as file:
            return _inspect_file(file, str(path))
    return _inspect_file(source, str(getattr(source, "name", "file")))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file: a pipe would be waited for, a device may be without end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file: give a .keras or .h5 file") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ModelFileError(f"{path}: is no regular file: give a .keras or .h5 file")
        yield file


def _inspect_file(file: BinaryIO, name: str) -> Inspection:
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(len(_HDF5))
        if start == _HDF5:
            return _inspect_hdf5(file, size, name)
        if start.startswith(_ZIP):
            return _inspect_archive(file, size, name)
    except ModelFileError as error:
        raise ModelFileError(f"{name}: {error}") from None
    except OSError as error:
        raise ModelFileError(f"{name}: cannot be read ({error.strerror or first_line(error)})") from None
    if not start:
        raise ModelFileError(f"{name}: is damaged (empty): copy it again")
    raise ModelFileError(
        f"{name}: is no Keras model (neither a zip archive nor HDF5): give a .keras or .h5 file, or the folder of a "
        "SavedModel"
    )


def _inspect_archive(file: BinaryIO, size: int, name: str) -> Inspection:
    archive, findings = open_archive(file, size)
    with archive:
        if findings:  # what is in the entries depends on the reader
            return Inspection(path=name, format="keras", file_bytes=size, findings=tuple(findings))
        metadata, config = (
            decode_config(read_entry(archive, entry, MOST_JSON), entry, findings)
            for entry in ("metadata.json", "config.json")
        )
        with open_entry(archive, "model.weights.h5", file) as weights:
            contents = _walk(weights, archive.getinfo("model.weights.h5").file_size, "model.weights.h5")
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    findings += [replace(one, where=f"model.weights.h5: {one.where}") for one in contents.findings]
    training = config.get("compile_config") if isinstance(config, dict) else None
    report = Inspection(path=name, format="keras", file_bytes=size, keras_version=_text(version))
    return _described(report, contents, {"config.json": config}, training, findings)


def _inspect_hdf5(file: BinaryIO, size: int, name: str) -> Inspection:
    contents = _walk(file, size, "HDF5")
    attributes = contents.attributes
    findings = list(contents.findings)
    whole = "model_config" in contents.root_attributes
    weights_only = "layer_names" in contents.root_attributes or any(
        path == "vars" or path.endswith("/vars") for path in contents.groups
    )
    if not (whole or weights_only or findings):
        raise ModelFileError("is HDF5, and no Keras model (neither model_config nor layers inside): give a model file")
    documents: dict[str, Any] = {
        key: decode_config(attributes[key].encode("utf-8", "replace"), key, findings)
        for key in ("model_config", "training_config")
        if key in attributes
    }
    if whole and "model_config" not in attributes:
        findings.append(FileFinding(code="dtype", where="/@model_config", why="is no text"))
    report = Inspection(
        path=name,
        format="hdf5" if whole else "hdf5_weights",
        file_bytes=size,
        keras_version=_text(attributes.get("keras_version")),
    )
    return _described(report, contents, documents, documents.get("training_config"), findings)


def _walk(file: Any, size: int, what: str) -> HDF5Contents:
    try:
        return walk_hdf5(file, size)
    except MemoryError:
        raise
    except Exception as error:  # whatever HDF5 says of damaged bytes
        raise ModelFileError(f"is damaged ({what}: {shortened(first_line(error))}): copy the file again") from None


def _described(
    report: Inspection, contents: HDF5Contents, documents: dict[str, Any], training: Any, findings: list[FileFinding]
) -> Inspection:
    """Fill in what configuration and weights say, and check the configuration."""
    arrays = [one for one in contents.arrays if not _NO_WEIGHTS.search(one.path)]
    parameters = sum(one.elements for one in arrays)
    check = ConfigCheck(parameters)
    for source, document in documents.items():
        check.check(document, source)
    model = documents.get("config.json", documents.get("model_config"))
    layers = _archive_layers if report.format == "keras" else _legacy_layers
    dtypes: Counter[str] = Counter()
    for array in arrays:
        dtypes[array.dtype] += array.elements
    optimizer, losses, metrics = read_training(training)
    settings = model.get("config") if isinstance(model, dict) else None
    if report.format == "hdf5_weights":
        why = "weights only: the model that they belong to must be built by code"
        check.findings.append(FileFinding(code="weights_only", where="file", why=why, refused=False))
    return replace(
        report,
        class_name=_text(model.get("class_name")) if isinstance(model, dict) else None,
        name=_text(settings.get("name")) if isinstance(settings, dict) else None,
        layers=layers(model, contents, arrays) if model is not None else _stored_layers(contents, arrays),
        parameters=parameters,
        dtypes=dict(dtypes),
        weight_bytes=sum(one.size for one in arrays),
        optimizer_bytes=sum(one.size for one in contents.arrays if one.path.startswith("optimizer")),
        custom_objects=tuple(sorted(check.custom)),
        optimizer=optimizer,
        losses=losses,
        metrics=metrics,
        findings=tuple(sorted([*findings, *check.findings], key=lambda one: not one.refused)),
    )


def _text(value: Any) -> str | None:
    return shortened(value) if isinstance(value, str) else None


def _counts(arrays: list[StoredArray]) -> Counter[str]:
    """Number of values below each group, by its path."""
    counts: Counter[str] = Counter()
    for array in arrays:
        parts = array.path.split("/")
        for level in range(1, len(parts)):
            counts["/".join(parts[:level])] += array.elements
    return counts


def _archive_layers(model: Any, contents: HDF5Contents, arrays: list[StoredArray]) -> tuple[LayerSummary, ...]:
    """Layers with the parameters that `.keras` files store under their class's name and number: layers/dense_1."""
    counts = _counts(arrays)
    groups: dict[tuple[str, ...], str] = {(): ""}
    used: Counter[tuple[tuple[str, ...], str]] = Counter()
    found = []
    for layer, path in layers_of(model):
        kind = _snake_case(layer.class_name.rpartition(">")[2])
        number = used[path[:-1], kind]
        used[path[:-1], kind] += 1
        outer = groups.get(path[:-1], "?")
        group = f"{outer}layers/{kind}{f'_{number}' if number else ''}"
        groups[path] = group + "/"
        found.append(replace(layer, parameters=counts[group] if group in contents.groups else None))
    return tuple(found)


def _snake_case(name: str) -> str:
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _legacy_layers(model: Any, contents: HDF5Contents, arrays: list[StoredArray]) -> tuple[LayerSummary, ...]:
    """Layers with the parameters that whole HDF5 models store under their names."""
    counts = _counts(arrays)
    found = []
    for layer, path in layers_of(model):
        groups = [f"model_weights/{path[0]}"]
        if path[1:]:
            groups = [f"{groups[0]}/{path[-1]}", f"{groups[0]}/{'/'.join(path)}"]
        group = next((one for one in groups if one in contents.groups), None)
        found.append(replace(layer, parameters=None if group is None else counts[group]))
    return tuple(found)


def _stored_layers(contents: HDF5Contents, arrays: list[StoredArray]) -> tuple[LayerSummary, ...]:
    """Groups that hold weights, where no configuration is stored."""
    counts = _counts(arrays)
    tops = [path for path in counts if path.count("/") == (1 if path.startswith("layers/") else 0) and path != "layers"]
    return tuple(LayerSummary(name=path, class_name="", parameters=counts[path]) for path in sorted(tops))

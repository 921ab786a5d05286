"""The folder of a SavedModel: its messages are read field by field, within bounds, without TensorFlow."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerastricks.errors import ModelFileError
from kerastricks.interop.allowed import DANGEROUS_OPERATIONS
from kerastricks.interop.configs import ConfigCheck, decode_config, layers_of, read_training
from kerastricks.interop.report import FileFinding, Inspection, shortened

_MOST_BYTES = 256_000_000  # of saved_model.pb: weights are in other files
_MOST_METADATA = 64_000_000
_MOST_ENTRIES = 10_000
_MOST_FIELDS = 8_000_000
_FOLDERS = ("variables", "assets", "assets.extra")
_FILES = ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb")
Field = tuple[int, int | memoryview]


def inspect_saved_model(folder: Path) -> Inspection:
    """Inspect the folder of a SavedModel; see `kerastricks.interop.inspect`.

    Raises:
        ModelFileError: where it is damaged, or no SavedModel.
    """
    if not os.path.lexists(folder / "saved_model.pb"):
        raise ModelFileError(f"{folder}: is a folder without saved_model.pb: give a model file or a SavedModel")
    findings: list[FileFinding] = []
    size = _check_folder(folder, findings)
    if findings:  # a link would be followed
        return Inspection(path=str(folder), format="saved_model", file_bytes=size, findings=tuple(findings))
    messages = _Messages()
    try:
        for number, graph in messages.file(folder / "saved_model.pb", _MOST_BYTES):
            if number == 2:
                messages.read_graph(graph)
        if (folder / "keras_metadata.pb").exists():
            messages.documents.clear()
            for number, node in messages.file(folder / "keras_metadata.pb", _MOST_METADATA):
                if number == 1:
                    messages.read_metadata(node)
    except _WireError as error:
        raise ModelFileError(f"{folder}: is damaged ({error}): copy it again") from None
    except OSError as error:
        raise ModelFileError(f"{folder}: cannot be read ({error.strerror or error})") from None
    operations = messages.operations
    for name in sorted(DANGEROUS_OPERATIONS & set(operations)):
        why = f"{name}, {operations[name]:,} times: reads or writes files or runs code when the graph runs"
        findings.append(FileFinding(code="operation", where="saved_model.pb", why=why))
    report = Inspection(
        path=str(folder),
        format="saved_model",
        file_bytes=size,
        signatures=tuple(messages.signatures),
        operations=dict(operations),
        weight_bytes=sum(one.stat().st_size for one in (folder / "variables").glob("variables.data-*")),
    )
    return _described(report, messages.documents, findings)


def _described(report: Inspection, documents: list[tuple[str, str, str]], findings: list[FileFinding]) -> Inspection:
    """Check the Keras metadata; the root's is the model's."""
    check = ConfigCheck(parameters=None)
    model: Any = None
    layers: tuple[Any, ...] = ()
    training: Any = None
    for where, identifier, text in documents:
        document = decode_config(text.encode("utf-8", "replace"), where, findings)
        check.check(document, where)
        if where.endswith(": root") and isinstance(document, dict):
            model, training = document, document.get("training_config")
            layers = tuple(layer for layer, _ in layers_of(document))
        elif not identifier.startswith("_tf_keras_"):
            check.custom[shortened(identifier)] = None
    if model is None:
        why = "has no metadata of Keras: only its graph says what it computes"
        findings.append(FileFinding(code="no_keras_metadata", where="folder", why=why, refused=False))
        return replace(report, findings=(*check.findings, *findings), custom_objects=tuple(sorted(check.custom)))
    optimizer, losses, metrics = read_training(training)
    return replace(
        report,
        keras_version=shortened(str(model["keras_version"])) if "keras_version" in model else None,
        class_name=shortened(str(model.get("class_name"))),
        name=shortened(str(model.get("name"))),
        layers=layers,
        optimizer=optimizer,
        losses=losses,
        metrics=metrics,
        custom_objects=tuple(sorted(check.custom)),
        findings=(*findings, *check.findings),
    )


def _check_folder(folder: Path, findings: list[FileFinding]) -> int:
    """Refuse links and unexpected entries; returns the size of all files."""
    size = count = 0
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            inside = path.relative_to(folder)
            status = path.lstat()
            count += 1
            if count > _MOST_ENTRIES:
                findings.append(FileFinding(code="size", where="folder", why=f"more than {_MOST_ENTRIES:,} entries"))
                return size
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                findings.append(FileFinding(code="link", where=str(inside), why="is a link, pipe or device"))
            elif inside.parts[0] not in (_FOLDERS if len(inside.parts) > 1 or name in folders else _FILES):
                findings.append(FileFinding(code="entry", where=str(inside), why="is no entry of a SavedModel"))
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return size


class _WireError(Exception):
    """Bytes that are no message, or too many."""


class _Messages:
    """Reads messages of protocol buffers, a limited number of fields in all."""

    def __init__(self) -> None:
        self.left = _MOST_FIELDS
        self.operations: Counter[str] = Counter()
        self.signatures: list[str] = []
        self.documents: list[tuple[str, str, str]] = []  # where, identifier of the object, JSON

    def file(self, path: Path, most: int) -> Iterator[Field]:
        """Fields of the message in a file."""
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _WireError(f"{path.name}: is no regular file")
            data = file.read(most + 1)
        if len(data) > most:
            raise _WireError(f"{path.name}: more than {most:,} bytes")
        return self.fields(memoryview(data))

    def fields(self, message: int | memoryview) -> Iterator[Field]:
        """Number of each field, and an integer or the bytes of a text or message."""
        if isinstance(message, int):
            raise _WireError("a number in place of a message")
        at, size = 0, len(message)
        while at < size:
            self.left -= 1
            if self.left < 0:
                raise _WireError(f"more than {_MOST_FIELDS:,} fields")
            key, at = _varint(message, at)
            kind = key & 7
            if kind == 0:
                value, at = _varint(message, at)
                yield key >> 3, value
                continue
            if kind == 2:
                length, at = _varint(message, at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise _WireError(f"wire type {kind}")
            if at + length > size:
                raise _WireError("a field ends after its message")
            yield key >> 3, message[at : at + length]
            at += length

    def inside(self, message: int | memoryview, *numbers: int) -> Iterator[int | memoryview]:
        """Fields of fields: those of number `numbers[0]`, in them those of `numbers[1]`, and so on."""
        for number, value in self.fields(message):
            if number == numbers[0]:
                if numbers[1:]:
                    yield from self.inside(value, *numbers[1:])
                else:
                    yield value

    def read_graph(self, message: int | memoryview) -> None:
        """Read a MetaGraphDef: graph, functions, signatures, and the metadata that Keras kept there before 2.5."""
        for nodes in ((2, 1), (2, 2, 1, 3)):  # of the graph, of its functions
            for node in self.inside(message, *nodes):
                self.operations[next((_string(value) for value in self.inside(node, 2)), "")] += 1
                if len(self.operations) > _MOST_ENTRIES:
                    raise _WireError(f"more than {_MOST_ENTRIES:,} kinds of operations")
        self.signatures += [_string(name) for name in self.inside(message, 5, 1)]
        for index, node in enumerate(self.inside(message, 7, 1)):
            for user in self.inside(node, 4):
                texts = dict(self.fields(user))
                if _string(texts.get(3, 0)).startswith("{"):
                    where = f"saved_model.pb: {f'object {index}' if index else 'root'}"
                    self.documents.append((where, _string(texts.get(1, 0)), _string(texts[3])))

    def read_metadata(self, message: int | memoryview) -> None:
        """Read a node of keras_metadata.pb."""
        texts = {number: _string(value) for number, value in self.fields(message)}
        where = f"keras_metadata.pb: {shortened(texts.get(3, ''), 60)}"
        self.documents.append((where, texts.get(4, ""), texts.get(5, "")))


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70 and at < len(message):
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise _WireError("a number without end")


def _string(value: int | memoryview) -> str:
    return "" if isinstance(value, int) else bytes(value).decode("utf-8", "replace")

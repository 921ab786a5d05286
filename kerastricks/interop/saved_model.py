"""The folder of a SavedModel: its messages are read field by field, within bounds, without TensorFlow."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerastricks.errors import ModelFileError
from kerastricks.interop.allowed import names_in
from kerastricks.interop.configs import ConfigCheck, decode_config, layers_of, read_training
from kerastricks.interop.report import FileFinding, Inspection, shortened

_MOST_BYTES = 512_000_000  # of a message: weights are in other files
_MOST_ENTRIES = 10_000
_MOST_NODES = 5_000_000
_FOLDERS = ("variables", "assets", "assets.extra")
_FILES = ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb")
# Operations that read or write files, run Python, or talk to other machines, when the graph runs. SaveV2 and its
# companions are in every SavedModel and only counted.
DANGEROUS = names_in("""
    ReadFile WriteFile MatchingFiles PyFunc PyFuncStateless EagerPyFunc GeneratorDataset ImmutableConst Save SaveSlices
    Restore RestoreSlice InitializeTableFromTextFile InitializeTableFromTextFileV2 TextLineReader TextLineReaderV2
    WholeFileReader WholeFileReaderV2 TFRecordReader TFRecordReaderV2 FixedLengthRecordReader TextLineDataset
    FixedLengthRecordReaderV2 TFRecordDataset TFRecordDatasetV2 FixedLengthRecordDataset FixedLengthRecordDatasetV2
    SqlDataset CSVDataset CSVDatasetV2 LoadDataset SaveDataset SaveDatasetV2 SnapshotDataset SnapshotDatasetV2
    CacheDataset CacheDatasetV2 DataServiceDataset RpcCall RemoteCall RemoteFusedGraphExecute DebugIdentity
    DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary DebugNumericSummaryV2 CreateSummaryFileWriter
    CreateSummaryDbWriter ImportEvent LoadAndRemapMatrix GenerateVocabRemapping DatasetToTFRecord
""")

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
    operations: Counter[str] = Counter()
    signatures: list[str] = []
    documents: list[tuple[str, str, str]] = []  # node, identifier, JSON
    try:
        for number, graph in _fields(_read(folder / "saved_model.pb")):
            if number == 2:
                _read_graph(graph, operations, signatures, documents)
        if (folder / "keras_metadata.pb").exists():
            documents = [
                _keras_node(node) for number, node in _fields(_read(folder / "keras_metadata.pb")) if number == 1
            ]
    except _WireError as error:
        raise ModelFileError(f"{folder}: is damaged ({error}): copy it again") from None
    for name in sorted(DANGEROUS & set(operations)):
        why = f"{name}, {operations[name]:,} times: reads or writes files or runs code when the graph runs"
        findings.append(FileFinding(code="operation", where="saved_model.pb", why=why))
    report = Inspection(
        path=str(folder),
        format="saved_model",
        file_bytes=size,
        signatures=tuple(signatures),
        operations=dict(operations),
        weight_bytes=sum(one.stat().st_size for one in (folder / "variables").glob("variables.data-*")),
    )
    return _described(report, documents, findings)


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
            check.custom[identifier] = None
    if model is None:
        why = "has no metadata of Keras: only its graph says what it computes"
        findings.append(FileFinding(code="no_keras_metadata", where="folder", why=why, refused=False))
        return replace(report, findings=tuple(findings))
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


def _read(path: Path) -> memoryview:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _WireError(f"{path.name}: is no regular file")
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise _WireError(f"{path.name}: more than {_MOST_BYTES:,} bytes")
    return memoryview(data)


class _WireError(Exception):
    """Bytes that are no message."""


def _fields(message: int | memoryview) -> Iterator[Field]:
    """Fields of a message of protocol buffers: number, and an integer or the bytes of a text or message."""
    if isinstance(message, int):
        raise _WireError("a number in place of a message")
    at, size = 0, len(message)
    while at < size:
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


def _read_graph(
    message: int | memoryview,
    operations: Counter[str],
    signatures: list[str],
    documents: list[tuple[str, str, str]],
) -> None:
    """Read a MetaGraphDef: graph and functions, signatures, and the metadata that Keras kept in objects before 2.5."""
    for number, value in _fields(message):
        if number == 2:
            for part, node in _fields(value):
                if part == 1:
                    _count(node, operations)
                elif part == 2:
                    for _, function in (one for one in _fields(node) if one[0] == 1):
                        for _, inner in (one for one in _fields(function) if one[0] == 3):
                            _count(inner, operations)
        elif number == 5:
            signatures += [_string(name) for part, name in _fields(value) if part == 1]
        elif number == 7:
            for index, (_, node) in enumerate(one for one in _fields(value) if one[0] == 1):
                for _, user in (one for one in _fields(node) if one[0] == 4):
                    texts = {part: _string(text) for part, text in _fields(user)}
                    if texts.get(3):
                        where = f"saved_model.pb: {f'object {index}' if index else 'root'}"
                        documents.append((where, texts.get(1, ""), texts[3]))


def _count(node: int | memoryview, operations: Counter[str]) -> None:
    for number, value in _fields(node):
        if number == 2:
            operations[_string(value)] += 1
            break
    if operations.total() > _MOST_NODES if len(operations) > _MOST_ENTRIES else False:
        raise _WireError("too many operations")


def _keras_node(message: int | memoryview) -> tuple[str, str, str]:
    texts = dict(_fields(message))
    path = shortened(_string(texts.get(3, memoryview(b""))), 60)
    identifier, text = (_string(texts.get(number, memoryview(b""))) for number in (4, 5))
    return f"keras_metadata.pb: {path}", identifier, text

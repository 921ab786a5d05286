"""Parquet files with a column of images, or of their paths, and a column of labels."""

import importlib.util
import json
import mmap
import os
import posixpath
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.sources.columns import Columns, find_columns, label_codes, leaf
from kerastricks.data.sources.extents import ExtentReader, indexed_source
from kerastricks.data.sources.folder import FolderReader, is_special
from kerastricks.data.sources.groups import refuse_shared
from kerastricks.data.sources.large_files import shard_names, source_name, splits_of_files
from kerastricks.data.sources.layout import split_of
from kerastricks.data.sources.sorting import Rows, files_of_splits, labels_of, sort_names
from kerastricks.data.sources.source import SPLITS, Source
from kerastricks.data.sources.table import COLUMNS, check_group, check_weight
from kerastricks.errors import DataError, MissingExtraError
from kerastricks.progress import megabytes

SUFFIX = ".parquet"
_KEPT_BYTES = 256 << 20  # of row groups that are not read image by image
_MOST_GROUP_BYTES = 1 << 30
_ROWS_AT_ONCE = 32
_WINDOW = 1 << 20  # headers and statistics of a page lie between two images


class ParquetReader(ExtentReader):
    """Reader of images in Parquet files.

    An image that lies in the file as it is, is read by its offset. Of compressed ones the whole row group is read, and
    the last few are kept.

    Args:
        column: path of the column of bytes.
        arguments: see `ExtentReader`.
    """

    def __init__(self, column: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.column = column
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_groups", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def read_row(self, row: int) -> bytes:
        """Read one image; no bytes for a row that has none."""
        file, offset = int(self.index["file"][row]), int(self.index["offset"][row])
        if offset >= 0:
            return self.read_at(file, offset, int(self.index["size"][row]))
        value = self._group(file, int(self.index["group"][row]))[int(self.index["row"][row])].as_py()
        return value if value is not None else b""

    def _forget(self) -> None:
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def _group(self, file: int, group: int) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.refuse_changed(file, os.stat(self.files[file]))
        with self._lock:
            if (file, group) in self._groups:
                self._groups.move_to_end((file, group))
                return self._groups[file, group]
            try:
                with pq.ParquetFile(self.files[file], memory_map=True) as opened:
                    read = opened.read_row_group(group, columns=[self.column])
            except pa.ArrowException as error:
                raise OSError(f"{os.path.basename(self.files[file])}, row group {group}: {_first(error)}") from None
            found = leaf(read.column(0).combine_chunks())
            self._groups[file, group] = found
            while len(self._groups) > 1 and sum(one.nbytes for one in self._groups.values()) > _KEPT_BYTES:
                self._groups.popitem(last=False)
            return found


def parquet_source(path: Path, files: Sequence[Path], columns: Mapping[str, str]) -> Source:
    """Find the images of Parquet files.

    Args:
        path: what the user named: a file, a folder or a pattern.
        files: the files.
        columns: names of the columns `image`, `label` and `split`, where the user named them.

    Raises:
        MissingExtraError: without pyarrow.
        DataError: for a file that is no Parquet, a column that is missing or of another type, labels that are no
            classes.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "parquet")
    import pyarrow as pa

    splits = splits_of_files(path, files)
    opened = [_open(file) for file in files]
    found = [_columns(file, one, columns) for file, one in zip(files, opened, strict=True)]
    for file, one in zip(files, found, strict=True):
        if one != found[0]:
            raise DataError(f"{file}: its columns or classes are others than those of {files[0]}: give one of them")

    def scan() -> Rows:
        try:
            return _rows(files, splits, opened, found[0])
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: a label or name is not valid UTF-8 ({error.reason}): write it again") from None
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: cannot be read ({_first(error)}): download or make it again") from None

    if found[0].kind == "path":
        return _paths_source(path, files, scan(), opened)
    options = {"image": found[0].image, "label": found[0].label, "split": found[0].split}
    return indexed_source(path, files, SUFFIX, options, scan, partial(ParquetReader, found[0].read))


def _open(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: cannot be read as Parquet ({_first(error)}): download or make it again") from None


def _columns(file: Path, opened: Any, named: Mapping[str, str]) -> Columns:
    found = find_columns(file, opened.schema_arrow, named)
    if found.kind == "struct" and _only_paths(opened, found.image):
        return replace(found, image=f"{found.image}.path", kind="path")
    return found


def _only_paths(opened: Any, image: str) -> bool:
    """Whether a column of bytes and paths has no bytes: the images are files."""
    kind = opened.schema_arrow.field(image).type
    if kind.get_field_index("path") < 0 or not opened.metadata.num_rows:
        return False
    at = next(i for i in range(opened.metadata.num_columns) if opened.schema.column(i).path == f"{image}.bytes")
    chunks = [opened.metadata.row_group(group).column(at) for group in range(opened.num_row_groups)]
    return all(chunk.statistics is not None and chunk.statistics.null_count == chunk.num_values for chunk in chunks)


def _rows(files: Sequence[Path], splits: Sequence[str], opened: Sequence[Any], columns: Columns) -> Rows:
    """Labels, names and offsets of all images; images are looked at only where they are not compressed."""
    codes: list[np.ndarray] = []
    values: dict[Any, int] = {}
    names: list[str | None] = []
    split_numbers: list[np.ndarray] = []
    extents: dict[str, list[np.ndarray]] = {name: [] for name in ("file", "offset", "size", "group", "row")}
    for number, (file, one) in enumerate(zip(files, opened, strict=True)):
        found = label_codes(file, _read_column(file, one, columns.label), columns.label, values)
        codes.append(found)
        names += _row_names(one, columns, len(found))
        split_numbers.append(_split_numbers(file, one, columns.split, splits[number], len(found)))
        extents["file"].append(np.full(len(found), number, np.int64))
        if columns.kind != "path":
            groups = [one.metadata.row_group(group).num_rows for group in range(one.num_row_groups)]
            extents["group"].append(np.repeat(np.arange(len(groups)), groups))
            extents["row"].append(np.concatenate([np.arange(rows) for rows in groups] or [np.zeros(0, np.int64)]))
            offsets, sizes = _find_offsets(file, one, columns)
            extents["offset"].append(offsets)
            extents["size"].append(sizes)
    known = [name for name in names if name]
    joined = {name: np.concatenate(parts).astype(np.int64) for name, parts in extents.items() if parts}
    photographs = _photographs(opened[0].schema_arrow)
    texts = list(values) if values and not isinstance(next(iter(values)), int) else [int(value) for value in values]
    class_names = columns.class_names if not texts or isinstance(texts[0], int) else None
    return Rows(
        known if len(known) == len(names) else None,
        np.concatenate(codes),
        texts,
        np.concatenate(split_numbers),
        joined,
        class_names,
        photographs,
        **_groups_and_weights(files, opened, np.concatenate(split_numbers)),
    )


def _photographs(schema: Any) -> bool:
    """Whether the images are photographs: `pack` writes into the schema that arrays are none."""
    try:
        return bool(json.loads((schema.metadata or {})[b"kerastricks"])["photographs"])
    except (KeyError, ValueError, TypeError):
        return True


def _read_column(file: Path, opened: Any, name: str) -> Any:
    import pyarrow as pa

    try:
        column = opened.read(columns=[name]).column(0).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: column {name!r} cannot be read ({_first(error)}): make the file again") from None
    return leaf(column)


def _row_names(opened: Any, columns: Columns, count: int) -> list[str | None]:
    if columns.kind == "bytes":
        return [None] * count
    if columns.kind == "path":
        return _read_column(Path(), opened, columns.image).to_pylist()
    kind = opened.schema_arrow.field(columns.image).type
    if kind.get_field_index("path") < 0:
        return [None] * count
    return _read_column(Path(), opened, f"{columns.image}.path").to_pylist()


def _split_numbers(file: Path, opened: Any, column: str, split: str, count: int) -> np.ndarray:
    if not column:
        return np.full(count, SPLITS.index(split), np.int64)
    encoded = _read_column(file, opened, column).dictionary_encode()
    numbers = []
    for value in encoded.dictionary.to_pylist():
        known = split_of(str(value))
        if known is None:
            raise DataError(f"{file}: split {value!r} in column {column!r} is none: write train, validation or test")
        numbers.append(SPLITS.index(known))
    if encoded.null_count:
        raise DataError(f"{file}: a row has no split in column {column!r}: write train, validation or test")
    return np.array(numbers, np.int64)[encoded.indices.to_numpy()] if count else np.zeros(0, np.int64)


def _find_offsets(file: Path, opened: Any, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Where each image lies in the file as it is, and its size; -1 where it is compressed or missing."""
    offsets, sizes = np.full(opened.metadata.num_rows, -1, np.int64), np.zeros(opened.metadata.num_rows, np.int64)
    at = next(i for i in range(opened.metadata.num_columns) if opened.schema.column(i).path == columns.read)
    row = 0
    with file.open("rb") as raw:
        for group in range(opened.num_row_groups):
            facts = opened.metadata.row_group(group)
            chunk = facts.column(at)
            if chunk.compression == "UNCOMPRESSED":
                _search(raw, opened, group, chunk, columns.read, offsets, sizes, row)
            elif chunk.total_uncompressed_size > _MOST_GROUP_BYTES:
                raise DataError(
                    f"{file}: row group {group} has {megabytes(chunk.total_uncompressed_size)} of compressed images, "
                    f"too much to read for each of them: write the file with row groups of some 100 rows"
                )
            row += facts.num_rows
    return offsets, sizes


def _search(
    raw: Any, opened: Any, group: int, chunk: Any, column: str, offsets: np.ndarray, sizes: np.ndarray, row: int
) -> None:
    """Find the images of a row group in its bytes: each after the one before, its length before it."""
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    start = min(start, chunk.data_page_offset)
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        for value in _values(opened, group, column):
            if value is not None:
                head = struct.pack("<I", len(value)) + value[:64]
                at = contents.find(head, start, min(start + _WINDOW + len(head), len(contents)))
                if at >= 0 and contents[at + 4 : at + 4 + len(value)] == value:
                    offsets[row], sizes[row] = at + 4, len(value)
                    start = at + 4 + len(value)
            row += 1


def _values(opened: Any, group: int, column: str) -> Iterator[bytes | None]:
    for batch in opened.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=[column]):
        yield from leaf(batch.column(0)).to_pylist()


def _paths_source(path: Path, files: Sequence[Path], rows: Rows, opened: Sequence[Any]) -> Source:
    """Images that are files of their own, beside the Parquet files that name them, with their groups and weights."""
    root = path if path.is_dir() else files[0].parent
    if rows.names is None:
        raise DataError(f"{path}: a row has no path: fill it in or leave the row out")
    folders = [posixpath.dirname(name) for name in shard_names(path, files)]
    names = [
        posixpath.normpath(posixpath.join(folders[file], name))
        for file, name in zip(rows.columns["file"].tolist(), rows.names, strict=True)
    ]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: an image has two rows, and one class for each image is all there is: delete one")
    special = next((name for name in names if is_special(os.path.join(root, name))), None)
    if special is not None:
        raise DataError(f"{path}: {special} is no file: name image files")
    class_names, labels = labels_of(path, rows, names)
    index, spans = sort_names(rows, names, labels, True)
    source = Source(source_name(path), class_names, files_of_splits(index, spans, FolderReader(root)))
    refuse_shared(source)
    return source


def _groups_and_weights(files: Sequence[Path], opened: Sequence[Any], splits: np.ndarray) -> dict[str, np.ndarray]:
    """Groups and weights of the rows, where all files have the column, in the files' order."""
    found: dict[str, list[Any]] = {}
    for role in ("group", "weight"):
        named = [next((n for n in one.schema_arrow.names if n.lower() in COLUMNS[role]), None) for one in opened]
        if not any(named):
            continue
        cells: list[Any] = []
        for file, one, name in zip(files, opened, named, strict=True):
            if name is None:
                raise DataError(f"{file}: no column {role!r}, which others have: add it, or leave it out of them")
            for row, value in enumerate(_read_column(file, one, name).to_pylist(), 1):
                where, text = f"{file}, row {row}", "" if value is None else str(value).strip()
                group = role == "group"
                cells.append(
                    check_group(where, text) if group else check_weight(where, text, SPLITS[splits[len(cells)]])
                )
        found[f"{role}s"] = cells
    kinds = {"groups": object, "weights": float}
    return {name: np.array(cells, kinds[name]) for name, cells in found.items()}


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")

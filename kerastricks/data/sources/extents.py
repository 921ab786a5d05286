"""Images inside large files: an index of where each lies, made once and kept beside the other caches."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.cache import DiskCache, cache_home
from kerastricks.data.sources.large_files import shard_names, source_name
from kerastricks.data.sources.layout import split_and_class
from kerastricks.data.sources.names import canonical
from kerastricks.data.sources.source import SPLITS, Files, Names, Source
from kerastricks.errors import DataError
from kerastricks.files import read_json, write_json

_VERSION = 1  # of the index
_CACHE_BYTES = 4 << 30
_META = "index.json"
_COLUMNS = ("text", "ends", "lookup", "labels", "file", "offset", "size", "group", "row")
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Rows:
    """Images as a scan of the files finds them, in the files' order.

    Args:
        names: name of each; None where the files have none.
        codes: (N,) indices of `values`.
        values: labels as the files say them: names, or whole numbers.
        splits: (N,) indices of `SPLITS`.
        columns: `file` (index of the files), `offset` and `size` in bytes; `offset` is -1 where the image is not in
            the file as it is, and `group` and `row` say which row of which row group it is.
        class_names: names of the classes where labels are their numbers; None where the labels are the names.
        photographs: see `Source`.
    """

    names: list[str] | None
    codes: np.ndarray
    values: list[str] | list[int]
    splits: np.ndarray
    columns: Mapping[str, np.ndarray]
    class_names: tuple[str, ...] | None = None
    photographs: bool = True


class ExtentReader:
    """Reader of images that lie in large files, by their offsets.

    Args:
        path: the file or folder of the source.
        files: paths of the large files.
        stamps: size in bytes and time of change in ns of each, as they were when they were indexed.
        index: columns of the index, in memory or mapped.
    """

    def __init__(
        self, path: Path, files: Sequence[str], stamps: Sequence[Sequence[int]], index: Mapping[str, np.ndarray]
    ) -> None:
        self.path = path
        self.files = list(files)
        self.stamps = [tuple(stamp) for stamp in stamps]
        self.index = index
        self._names = Names(index["text"], index["ends"])

    def read(self, name: str) -> bytes:
        """Read one image.

        Raises:
            OSError: where its file is gone, cut off, or has changed since it was indexed.
            KeyError: for a name that is none of the index.
        """
        row = self.find(name)
        file, offset, size = (self.index[column].item(row) for column in ("file", "offset", "size"))
        return self.read_at(file, offset, size)

    def read_at(self, file: int, offset: int, size: int) -> bytes:
        """Read bytes of a file that has not changed."""
        # Opened each time: thousands of files would be more than a process may hold open.
        opened = os.open(self.files[file], os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            self.refuse_changed(file, os.fstat(opened))
            os.lseek(opened, offset, os.SEEK_SET)
            contents = os.read(opened, size)
        finally:
            os.close(opened)
        if len(contents) < size:
            raise OSError(f"{os.path.basename(self.files[file])} is cut off")
        return contents

    def refuse_changed(self, file: int, status: os.stat_result) -> None:
        """Raises OSError where a file is not as it was indexed."""
        if (status.st_size, status.st_mtime_ns) != self.stamps[file]:
            raise OSError(f"{os.path.basename(self.files[file])} changed since it was indexed")

    @property
    def is_addressable(self) -> bool:
        """Whether each image lies in its file as it is, so that anything that knows offsets can read it."""
        return bool((self.index["offset"] >= 0).all())

    def find(self, name: str) -> int:
        """The row of an image in the index."""
        wanted, lookup = os.fsencode(name), self.index["lookup"]
        low, high = 0, len(lookup)
        while low < high:
            middle = (low + high) // 2
            row = lookup.item(middle)
            found = self._names.encoded(row)
            if found == wanted:
                return row
            if found < wanted:
                low = middle + 1
            else:
                high = middle
        raise KeyError(name)


def indexed_source(
    path: Path,
    files: Sequence[Path],
    kind: str,
    options: Mapping[str, str],
    scan: Callable[[], Rows],
    make_reader: Callable[..., ExtentReader],
) -> Source:
    """Make a source of large files, with the index of an earlier time where the files are as they were.

    Args:
        path: what the user named.
        files: the large files, in order.
        kind: of the files; a part of the index's key.
        options: columns the user named; likewise.
        scan: finds the images; called where there is no index.
        make_reader: makes their reader, with the arguments of `ExtentReader`.
    """
    paths = [os.path.abspath(file) for file in files]
    status = [os.stat(file) for file in paths]
    stamps = [(one.st_size, one.st_mtime_ns) for one in status]
    key = hashlib.blake2b(
        json.dumps([_VERSION, kind, os.path.abspath(path), paths, stamps, sorted(options.items())]).encode(),
        digest_size=16,
    ).hexdigest()
    cache = _open_cache()
    found = _opened(cache, key) if cache is not None else None
    if found is None:
        index, meta = _index(path, files, scan())
        if cache is not None:
            _write(cache, key, index, meta)
        found = (cache is not None and _opened(cache, key)) or (index, meta)
    index, meta = found
    reader = make_reader(path, paths, stamps, index)
    if cache is not None:
        cache.hold(key, reader)
    names = Names(index["text"], index["ends"])
    splits = {}
    for split, (start, stop) in meta["splits"].items():
        splits[split] = Files(names.take(np.arange(start, stop)), np.array(index["labels"][start:stop]), reader)
    return Source(source_name(path), tuple(meta["class_names"]), splits, meta["photographs"])


def _open_cache() -> DiskCache | None:
    try:
        return DiskCache(cache_home() / "sources", _CACHE_BYTES)
    except OSError:  # a home that cannot be written to: the index is made each time
        return None


def _opened(cache: DiskCache, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    folder = cache.entry(key)
    try:
        meta = read_json(folder / _META)
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _COLUMNS}, meta
    except (OSError, ValueError, EOFError):
        return None


def _write(cache: DiskCache, key: str, index: Mapping[str, np.ndarray], meta: dict[str, Any]) -> None:
    try:
        if cache.make_room(sum(column.nbytes for column in index.values())) is None:
            cache.remove(key)  # one that could not be opened
            with cache.writing(key) as folder:
                for name, column in index.items():
                    np.save(folder / f"{name}.npy", column)
                write_json(folder / _META, meta)
    except OSError:  # a full disk: the index is made each time
        return


def _index(path: Path, files: Sequence[Path], rows: Rows) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Sort images as a folder of them would be: by split, label and name."""
    class_names, index, spans = sorted_rows(path, rows, shard_names(path, files))
    return index, {"class_names": list(class_names), "splits": spans, "photographs": rows.photographs}


def sorted_rows(
    path: Path, rows: Rows, files: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, np.ndarray], dict[str, list[int]]]:
    """Number the classes, and sort the images as a folder of them would be.

    Args:
        path: source, for messages.
        rows: the images.
        files: names of the files they are in, for images whose own names are not all different.

    Returns:
        The names of the classes, the columns of the index, and the first and last row of each split.

    Raises:
        DataError: for no images, or labels that are no classes.
    """
    if not len(rows.codes):
        raise DataError(f"{path}: no images: name files with some")
    own = rows.names if rows.names is not None and _all_differ(rows.names) else None
    class_names, labels = labels_of(path, rows, own)
    names = own if own is not None else _told_apart(rows, [class_names[label] for label in labels.tolist()], files)
    return class_names, *sort_names(rows, names, labels, own is not None)


def _all_differ(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names) and not any("\0" in name for name in names)


def _told_apart(rows: Rows, classes: Sequence[str], files: Sequence[str]) -> list[str]:
    """Names that are all different: with the folders that the images will have come from, else of file and row."""
    inside = [files[number] for number in rows.columns["file"].tolist()]
    if rows.names is not None:
        splits = [SPLITS[split] for split in rows.splits.tolist()]
        for folders in ([classes], [splits, classes], [inside]):
            names = ["/".join(parts) for parts in zip(*folders, rows.names, strict=True)]
            if _all_differ(names):
                return names
    of_files = rows.columns["file"]
    starts = np.searchsorted(of_files, np.arange(len(files)))  # images come in the order of the files
    numbers = np.arange(len(of_files)) - starts[of_files]
    return [f"{file}/{number:08}" for file, number in zip(inside, numbers.tolist(), strict=True)]


def sort_names(
    rows: Rows, names: Sequence[str], labels: np.ndarray, own: bool
) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    """Sort images by split, label and name.

    Args:
        rows: the images.
        names: names that are all different.
        labels: label of each.
        own: whether they are the images' own names: then the splits are in the names' order.

    Returns:
        The columns of the index, and the first and last row of each split.
    """
    count = len(names)
    encoded = [os.fsencode(name) for name in names]
    by_name = np.array(sorted(range(count), key=encoded.__getitem__), np.int64)
    rank = np.empty(count, np.int64)
    rank[by_name] = np.arange(count)
    present = [int(split) for split in np.unique(rows.splits)]
    first = {split: names[by_name[np.argmax(rows.splits[by_name] == split)]] for split in present}
    present.sort(key=lambda split: first[split] if own else SPLITS[split])
    turn = np.zeros(len(SPLITS), np.int64)
    turn[present] = np.arange(len(present))
    order = np.lexsort((rank, labels, turn[rows.splits]))
    ends = np.zeros(count + 1, np.int64)
    np.cumsum([len(encoded[i]) for i in order], out=ends[1:])
    index: dict[str, np.ndarray] = {
        "text": np.frombuffer(b"".join(encoded[i] for i in order), np.uint8),
        "ends": ends,
        "lookup": np.argsort(rank[order]),
        "labels": labels[order].astype(np.int32),
    }
    defaults = {"file": 0, "offset": -1, "size": 0, "group": 0, "row": 0}
    for name, default in defaults.items():
        column = rows.columns.get(name)
        index[name] = np.full(count, default, np.int64) if column is None else column[order]
    edges = np.searchsorted(turn[rows.splits][order], np.arange(len(present) + 1))
    return index, {SPLITS[split]: [int(edges[i]), int(edges[i + 1])] for i, split in enumerate(present)}


def labels_of(path: Path, rows: Rows, names: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes, and the label of each image."""
    train = SPLITS.index("train")
    if not (rows.splits == train).any():
        have = ", ".join(SPLITS[split] for split in np.unique(rows.splits))
        raise DataError(f"{path}: no split train, only {have}: add its files")
    if rows.class_names is not None:
        numbers = np.array([int(value) for value in rows.values], np.int64)
        bad = (numbers < 0) | (numbers >= len(rows.class_names))
        if bad.any():
            wrong = int(numbers[bad][0])
            where = SPLITS[rows.splits[int(np.argmax(bad[rows.codes]))]]
            why = "which stands for no label" if wrong == -1 else f"and there are {len(rows.class_names)} classes"
            raise DataError(f"{path}: label {wrong} in {where}, {why}: give only files whose images have a class")
        return rows.class_names, numbers[rows.codes]
    in_train = set(np.unique(rows.codes[rows.splits == train]).tolist())
    spelled: dict[str, str] = {}
    texts = [str(value) for value in rows.values]
    for text in sorted(texts[code] for code in in_train):
        spelled.setdefault(canonical(text), text)
    class_names = list(spelled.values())
    if all(_INTEGER.fullmatch(name) for name in class_names) and not _of_a_folder(rows, texts, names):
        class_names.sort(key=lambda name: (int(name), len(name)))
    indices = {canonical(name): label for label, name in enumerate(class_names)}
    for code, text in enumerate(texts):
        if canonical(text) not in indices:
            split = SPLITS[rows.splits[int(np.argmax(rows.codes == code))]]
            raise DataError(
                f"{path}: class {text!r} is in {split} but not in train: add images of it to train, or delete it "
                f"from {split}"
            )
    return tuple(class_names), np.array([indices[canonical(text)] for text in texts], np.int64)[rows.codes]


def _of_a_folder(rows: Rows, texts: Sequence[str], names: Sequence[str] | None) -> bool:
    """Whether the images' names are paths that say split and class: then classes are in a folder's order."""
    if names is None or isinstance(rows.values[0], int):
        return False
    say = split_and_class(names)
    facts = zip(names, rows.splits.tolist(), rows.codes.tolist(), strict=True)
    return all(say.get(name) == (SPLITS[split], texts[code]) for name, split, code in facts)

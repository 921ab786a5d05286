"""Images inside large files: an index of where each lies, made once and kept beside the other caches."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.cache import DiskCache, cache_home
from kerastricks.data.sources.groups import refuse_shared
from kerastricks.data.sources.large_files import shard_names, source_name
from kerastricks.data.sources.sorting import Rows, files_of_splits, sorted_rows
from kerastricks.data.sources.source import Names, Source
from kerastricks.files import read_json, write_json

_VERSION = 2  # of the index
_CACHE_BYTES = 4 << 30
_META = "index.json"


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
        return self.read_row(self.find(name))

    def read_row(self, row: int) -> bytes:
        """Read the image of a row of the index; errors are those of `read`."""
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
    splits = files_of_splits(index, meta["splits"], reader)
    source = Source(source_name(path), tuple(meta["class_names"]), splits, meta["photographs"])
    refuse_shared(source)
    return source


def _open_cache() -> DiskCache | None:
    try:
        return DiskCache(cache_home() / "sources", _CACHE_BYTES)
    except OSError:  # a home that cannot be written to: the index is made each time
        return None


def _opened(cache: DiskCache, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    folder = cache.entry(key)
    try:
        meta = read_json(folder / _META)
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in meta["columns"]}, meta
    except (OSError, ValueError, EOFError, KeyError):
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
    meta = {"class_names": list(class_names), "splits": spans, "photographs": rows.photographs}
    return index, {**meta, "columns": list(index)}

"""Sources in object stores and on web servers: folders of images, packed folders, zips, tables, Parquet and tars."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from kerastricks.addresses import public_url
from kerastricks.data.sources.archive import zip_source
from kerastricks.data.sources.large_files import files_inside
from kerastricks.data.sources.layout import find_layout
from kerastricks.data.sources.names import is_ignored
from kerastricks.data.sources.parquet import SUFFIX as PARQUET
from kerastricks.data.sources.parquet import parquet_source
from kerastricks.data.sources.shards import INDEX, shards_source
from kerastricks.data.sources.source import Files, Source
from kerastricks.data.sources.table import SUFFIXES, table_source
from kerastricks.data.sources.webdataset import CLASSES, CLASSES_TEXT, webdataset_source
from kerastricks.data.sources.webdataset import SUFFIXES as TARS
from kerastricks.errors import DataError
from kerastricks.remote import RemoteFolder, fetched_file

_AHEAD = 32  # files that are asked for before they are needed
_WORKERS = 16
_Find = Callable[[Path, Sequence[Path], Mapping[str, str]], Source]
_LARGE: tuple[tuple[tuple[str, ...], _Find], ...] = (((PARQUET,), parquet_source), (TARS, webdataset_source))


class RemoteReader:
    """Reader of the files of a remote folder; those that follow one in the listing are asked for ahead, once.

    Args:
        folder: the folder.
        names: names of the files, in the order in which they will first be read.

    Attributes:
        path: address to show.
    """

    def __init__(self, folder: RemoteFolder, names: Iterable[str]) -> None:
        self.folder = folder
        self.path = folder.url
        self._names = list(names)
        self._index = {name: index for index, name in enumerate(self._names)}
        self._asked = 0
        self._coming: dict[str, Future[bytes]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def read(self, name: str) -> bytes:
        """Read one file; see `RemoteFolder.read`."""
        index = self._index.get(name)
        if index is not None and index >= self._asked - _AHEAD // 2:
            self._ask(max(index, self._asked), index + _AHEAD)
        coming = self._coming.pop(name, None)
        return coming.result() if coming is not None else self.folder.read(name)

    def _ask(self, start: int, stop: int) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="remote")
        for ahead in itertools.islice(self._names, start, stop):
            self._coming[ahead] = self._pool.submit(self.folder.read, ahead)
        self._asked = max(self._asked, min(stop, len(self._names)))
        while len(self._coming) > 4 * _AHEAD:  # asked for and not fetched: they are read again
            self._coming.pop(next(iter(self._coming))).cancel()


def remote_source(url: str) -> Source:
    """Find the images of an address.

    Args:
        url: of a folder of images or one that `pack` wrote, of a .zip, of a .csv or .tsv beside its images, or of
            Parquet files or WebDataset tars, one or a folder of them, which are copied into the cache whole.

    Returns:
        The source; names, order and contents are those of the same files in a local folder.

    Raises:
        MissingExtraError: without fsspec or s3fs.
        DataError: for what cannot be reached or read, and what the local source refuses.
    """
    public = public_url(url)
    suffix = PurePosixPath(public).suffix.lower()
    if suffix in SUFFIXES:
        return _of_file(url, lambda path: _table(url, path))
    if suffix == ".zip":
        return _of_file(url, zip_source)
    for suffixes, find in _LARGE:
        if public.lower().endswith(suffixes):
            return _of_file(url, _of_large_files(find, suffixes))
    folder = RemoteFolder(url)
    try:
        files, folders = folder.listing()
    except FileNotFoundError:
        raise DataError(f"{public}: no such file or folder: check the address") from None
    if INDEX in files and any(name.endswith(".tfrecord") for name in files):
        names = [name for name in files if name == INDEX or (name.endswith(".tfrecord") and "/" not in name)]
        return _local(public, lambda user: folder.fetch(names, user), shards_source)
    for suffixes, find in _LARGE:
        names = sorted(name for name in files if name.lower().endswith(suffixes))
        if names:
            names += [name for name in files if name in (CLASSES, CLASSES_TEXT)]  # the names of the classes
            return _local(public, partial(folder.fetch, names), _of_large_files(find, suffixes))
    if not files and suffix:
        return _of_file(url, zip_source)
    name = public.rstrip("/").rsplit("/", 1)[-1]
    shown = sorted(name for name in files if not any(is_ignored(part) for part in name.split("/")))
    if not shown:
        raise DataError(f"{public}: no files: expected a folder of CLASS/*.jpg, or the address of a .zip or .csv")
    return find_layout(files, folders, RemoteReader(folder, shown), name)


def _table(url: str, path: Path) -> Source:
    """The table that was copied to `path`; the images lie beside the original."""
    whole, mark, query = url.partition("?")
    folder = RemoteFolder(whole.rpartition("/")[0] + mark + query)
    source = table_source(path)
    found = {split: files for split, files in source.splits.items() if isinstance(files, Files)}
    reader = RemoteReader(folder, [name for files in found.values() for name in files.names])
    return replace(source, splits={split: replace(files, reader=reader) for split, files in found.items()})


def _of_file(url: str, read: Callable[[Path], Source]) -> Source:
    return _local(public_url(url), lambda user: fetched_file(url, user), read)


def _of_large_files(find: _Find, suffixes: tuple[str, ...]) -> Callable[[Path], Source]:
    return lambda path: find(path, files_inside(path, suffixes) if path.is_dir() else [path], {})


class _User:
    """Keeps a copy in the cache while it lives."""


def _local(public: str, fetch: Callable[[object], Path], read: Callable[[Path], Source]) -> Source:
    """Read a copy; messages and the name are those of the original."""
    user = _User()
    path = fetch(user)
    try:
        source = read(path)
    except DataError as error:
        raise type(error)(str(error).replace(str(path), public)) from None
    for examples in source.splits.values():
        reader = getattr(examples, "reader", None)
        if reader is not None:
            reader.user = user
    return replace(source, name=PurePosixPath(public.rstrip("/")).stem)

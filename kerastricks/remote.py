"""Files of object stores and web servers, through fsspec: listed, read with retries, and kept in a local cache.

Whoever reads is known to fsspec: environment, configuration files, instance roles.
"""

import hashlib
import os
import random
import re
import secrets
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from kerastricks.addresses import check_remote, public_url, with_secrets
from kerastricks.cache import DiskCache, cache_home
from kerastricks.errors import DataError, MissingExtraError, first_line

T = TypeVar("T")

_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}  # fsspec's own, in no extra of ours
# Seconds before another attempt, up to twice as long: servers that are too busy get time.
DELAYS = (0.2, 0.8, 3.2)
TIMEOUT_SECONDS = 30.0  # without a byte
CACHE_GB = 20.0
_DEEPEST = 64  # folders in each other: a server may make up pages for ever
_CHUNK = 64 << 20  # bytes of room that are made at once: each time, all of a cache is looked through
_TAGS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "Last-Modified", "mtime", "updated", "created")
_TEMPORARY = (408, 425, 429)  # of the statuses from 400 to 499
_FORBIDDEN = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError")

_this_process = secrets.token_hex(8)


@dataclass(frozen=True)
class Entry:
    """A remote file.

    Args:
        path: as the file system wants it.
        size: in bytes; None where the listing does not say.
        tag: what changes with the contents; "" where the listing does not say.
    """

    path: str
    size: int | None
    tag: str


class RemoteFolder:
    """A folder of an object store or web server, or the one that a remote file is in.

    Args:
        url: its address.

    Attributes:
        url: the address to show.

    Raises:
        MissingExtraError: without fsspec or the package for this kind of address.
    """

    def __init__(self, url: str) -> None:
        self.url = public_url(url).rstrip("/")
        check_remote(self.url)
        self.is_web = self.url.startswith("http")
        self.file_system, self.root = _file_system(with_secrets(url), self.is_web)
        self._known: dict[str, Entry] = {}
        self._cache: DiskCache | None = None
        self._room = 0
        with suppress(OSError):  # where nothing can be written, everything is read each time
            self._cache = DiskCache(cache_home() / "remote", _limit(), ".bytes")

    def listing(self) -> tuple[dict[str, Entry], list[str]]:
        """List all files and folders below.

        Returns:
            Names relative to the folder, with forward slashes, to entries; and names of folders.

        Raises:
            DataError: where it cannot be listed.
        """
        with suppress(AttributeError):
            self.file_system.invalidate_cache()
        found = self._try(lambda: dict(self._walk() if self.is_web else self._find()), self.url)
        files = {name: entry for name, entry in found.items() if entry is not None}
        self._known.update(files)
        return files, [name for name, entry in found.items() if entry is None]

    def read(self, name: str) -> bytes:
        """Read a file, from the cache where it is there unchanged.

        Raises:
            FileNotFoundError: where it is not there.
            DataError: where the store cannot be reached, or refuses.
        """
        entry = self._entry(name)
        key = hashlib.blake2b(f"{self.url}/{name}\n{entry.size}\n{entry.tag}".encode(), digest_size=20).hexdigest()
        contents = self._kept(key)
        if contents is not None:
            return contents

        def whole() -> bytes:
            got: bytes = self.file_system.cat_file(entry.path)
            if entry.size is not None and len(got) != entry.size:
                raise ConnectionError(f"{len(got):,} of {entry.size:,} bytes came")
            return got

        contents = self._try(whole, f"{self.url}/{name}")
        self._keep(key, contents)
        return contents

    def fetch(self, names: Iterable[str], user: object) -> Path:
        """Copy files as a whole into a folder of the cache, which stays while `user` lives.

        Args:
            names: of files in this folder, which keep their names in the copy.
            user: object whose life keeps the folder from being removed.

        Raises:
            DataError: for a file that is not there, a store that cannot be reached, or a cache without room.
        """
        entries = {}
        for name in names:
            if not _is_below(name):
                raise DataError(f"{self.url}/{name}: leads out of the folder: give it another name")
            try:
                entries[name] = self._entry(name)
            except FileNotFoundError:
                raise DataError(f"{self.url}/{name}: no such file or folder: check the address") from None
        facts = "".join(f"{name}\n{entry.size}\n{entry.tag}\n" for name, entry in sorted(entries.items()))
        key = hashlib.blake2b(f"{self.url}\n{facts}".encode(), digest_size=20).hexdigest()
        try:
            cache = DiskCache(cache_home() / "remote-files", _limit())
            if not cache.entry(key).exists():
                full = cache.make_room(sum(entry.size or 0 for entry in entries.values()))
                if full:
                    raise DataError(
                        f"{self.url}: no room for a copy in {cache.path}, {full}: set KERASTRICKS_CACHE to a larger "
                        f"disk, or KERASTRICKS_REMOTE_CACHE_GB to more than {(_limit() or 0) / 1e9:g}"
                    )
                with cache.writing(key) as folder:
                    for name, entry in entries.items():
                        target = folder / name
                        target.parent.mkdir(parents=True, exist_ok=True)
                        self._copy(name, entry, target)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or not error.errno:
                raise
            raise DataError(f"{cache_home()}: cannot be written ({error.strerror}): set KERASTRICKS_CACHE") from None
        cache.hold(key, user)
        return cache.entry(key)

    def _copy(self, name: str, entry: Entry, target: Path) -> None:
        def whole() -> None:
            self.file_system.get_file(entry.path, str(target))
            if entry.size is not None and target.stat().st_size != entry.size:
                raise ConnectionError(f"{target.stat().st_size:,} of {entry.size:,} bytes came")

        self._try(whole, f"{self.url}/{name}")

    def _entry(self, name: str) -> Entry:
        known = self._known.get(name)
        if known is None or not known.tag:
            path = known.path if known is not None else self._path(name)
            try:
                facts = self._try(lambda: self.file_system.info(path), f"{self.url}/{name}")
            except DataError:
                if known is None:
                    raise
                facts = {}  # a server that tells nothing without sending all of it
            found = _described(path, facts)
            # What cannot be told from another version is kept for this process only.
            known = self._known[name] = found if found.tag else Entry(path, found.size, _this_process)
        return known

    def _path(self, name: str) -> str:
        if not self.is_web:
            return f"{self.root.rstrip('/')}/{name}"
        before, mark, query = self.root.partition("?")
        return f"{before.rstrip('/')}/{urllib.parse.quote(name)}{mark}{query}"

    def _find(self) -> Iterator[tuple[str, Entry | None]]:
        for path, facts in self.file_system.find(self.root, withdirs=True, detail=True).items():
            name = path[len(self.root) :].strip("/") if path.startswith(self.root) else ""
            if name:
                is_folder = facts["type"] == "directory" or path.endswith("/")
                yield name, None if is_folder else _described(path, facts)

    def _walk(self) -> Iterator[tuple[str, Entry | None]]:
        """By the links of the pages that a web server makes of folders."""
        root = self.root.partition("?")[0].rstrip("/") + "/"
        waiting, seen = [root], {root}
        while waiting:
            for facts in self.file_system.ls(waiting.pop(), detail=True):
                path = facts["name"]
                name = urllib.parse.unquote(path[len(root) :])
                if name.count("/") > _DEEPEST:
                    raise DataError(f"{public_url(path)}: folders without end: give the address of the images' folder")
                if path in seen or not path.startswith(root) or "?" in path or ".." in name.split("/"):
                    continue  # columns to sort a listing by are links too
                seen.add(path)
                if path.endswith("/"):
                    waiting.append(path)
                yield name.rstrip("/"), None if path.endswith("/") else _described(path, facts)

    def _try(self, action: Callable[[], T], what: str) -> T:
        # s3fs has retries of its own.
        delays = () if self.url.startswith("s3") else DELAYS
        for delay in (*delays, None):
            try:
                return action()
            except Exception as caught:  # whatever the many file systems raise
                # fsspec says of a web server that does not answer that the file is not there.
                cause = caught.__cause__ if self.is_web and isinstance(caught, FileNotFoundError) else None
                error = cause if isinstance(cause, Exception) else caught
                if isinstance(error, FileNotFoundError) or getattr(error, "status", None) == 404:
                    raise FileNotFoundError(2, "no such file or folder", what) from None
                lasting = _lasting(error, what)
                if lasting is not None:
                    raise lasting from None
                if delay is None:
                    raise DataError(
                        f"{what}: cannot be reached ({_reason(error)}): check the network and the address, and run it "
                        f"again"
                    ) from None
                time.sleep(delay * (1 + random.random()))
        raise AssertionError

    def _kept(self, key: str) -> bytes | None:
        if self._cache is None:
            return None
        with suppress(OSError):
            kept = self._cache.entry(key).read_bytes()
            if len(kept) >= 4 and zlib.crc32(kept[:-4]).to_bytes(4, "little") == kept[-4:]:
                self._cache.touch(key)
                return kept[:-4]
        return None

    def _keep(self, key: str, contents: bytes) -> None:
        cache, size = self._cache, len(contents) + 4
        if cache is None or (cache.limit_bytes is not None and size > cache.limit_bytes):
            return
        with suppress(OSError):  # it serves without as well
            if size > self._room:
                self._room = max(size, min(_CHUNK, (cache.limit_bytes or _CHUNK * 16) // 16))
                if cache.make_room(self._room):
                    self._room = 0
                    return
            self._room -= size
            with cache.writing(key) as path:
                path.write_bytes(contents + zlib.crc32(contents).to_bytes(4, "little"))


def fetched_file(url: str, user: object) -> Path:
    """Copy a remote file into the cache; see `RemoteFolder.fetch`.

    Args:
        url: its address.
        user: object whose life keeps the copy.

    Returns:
        The copy, with the file's own name.

    Raises:
        DataError: where it cannot be had.
    """
    public = public_url(url)
    whole = with_secrets(url)
    parent, _, name = public.rpartition("/")
    query = whole[whole.find("?") :] if "?" in whole else ""
    head = whole.partition("?")[0].rpartition("/")[0]
    name = urllib.parse.unquote(name) if public.startswith("http") else name
    if not name or parent.endswith(":/"):
        raise DataError(f"{public}: names no file: give its address")
    folder = RemoteFolder(head + query)
    return folder.fetch([name], user) / name


_fetched: list[object] = []  # while they live, the copies are in use


class _Use:
    """A use of a copy until the process ends."""


def fetched_model(url: str) -> Path:
    """Copy a model file or a run folder, for as long as the process lives.

    Args:
        url: of a `.keras` file or a run folder.

    Returns:
        The copy.

    Raises:
        DataError: where it cannot be had.
    """
    use = _Use()
    _fetched.append(use)
    public = public_url(url)
    if PurePosixPath(public).suffix:
        return fetched_file(url, use)
    folder = RemoteFolder(url)
    try:
        files, _ = folder.listing()
    except FileNotFoundError:
        files = {}
    if not files:
        raise DataError(f"{public}: no such file or folder: give the address of a .keras file or a run folder")
    return folder.fetch(files, use)


def _file_system(url: str, is_web: bool) -> tuple[Any, str]:
    import fsspec

    options: dict[str, Any] = {}
    try:
        if is_web:
            import aiohttp

            limit = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=TIMEOUT_SECONDS)
            options = {"client_kwargs": {"timeout": limit}, "encoded": True, "skip_instance_cache": True}
            url = urllib.parse.quote(url, safe="%/:?&=@+,;~!$'()*#")
        file_system, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        package = _PACKAGES.get(url.partition(":")[0].lower())
        if package is None:
            raise MissingExtraError("aiohttp" if is_web else "s3fs", "remote") from None
        raise DataError(
            f"{public_url(url)}: needs {package}, which is not installed ({first_line(error)}): pip install {package}"
        ) from None
    except Exception as error:  # whatever a file system says to its arguments
        lasting = _lasting(error, public_url(url))
        raise lasting or DataError(f"{public_url(url)}: cannot be opened ({_reason(error)}): check it") from None
    return file_system, root


def _is_below(name: str) -> bool:
    """Whether a name, joined to the path of a folder, stays inside, on every system."""
    parts = re.split(r"[/\\]", name)
    return not {"", ".", ".."} & set(parts) and not os.path.isabs(name) and ":" not in parts[0] and "\0" not in name


def _described(path: str, facts: Mapping[str, Any]) -> Entry:
    size = facts.get("size")
    return Entry(path, None if size is None else int(size), next((str(facts[t]) for t in _TAGS if facts.get(t)), ""))


def _limit() -> int:
    """Bytes that the cache may take."""
    text = os.environ.get("KERASTRICKS_REMOTE_CACHE_GB", "")
    try:
        gigabytes = float(text) if text else CACHE_GB
        if not 0 <= gigabytes < 1e9:
            raise ValueError
    except ValueError:
        raise DataError(
            f"KERASTRICKS_REMOTE_CACHE_GB must be a number of gigabytes, 0 or more. Received: {text!r}"
        ) from None
    return int(gigabytes * 1e9)


def _lasting(error: Exception, what: str) -> Exception | None:
    """The error to raise at once, where another attempt would end in the same; else None."""
    if isinstance(error, DataError | MissingExtraError):
        return error
    status = getattr(error, "status", None)
    name = type(error).__name__
    if isinstance(error, PermissionError) or status in (401, 403) or name in _FORBIDDEN:
        return DataError(
            f"{what}: no permission ({_reason(error)}): give the credentials that fsspec looks for, see docs/data.md"
        )
    if isinstance(error, ImportError):
        return DataError(f"{what}: {_reason(error)}: install what is missing")
    if isinstance(error, NotADirectoryError | IsADirectoryError | NotImplementedError | TypeError | ValueError):
        return DataError(f"{what}: cannot be read ({_reason(error)}): check the address")
    if isinstance(status, int) and 400 <= status < 500 and status not in _TEMPORARY:
        return DataError(f"{what}: is refused ({_reason(error)}): check the address")
    return None


def _reason(error: Exception) -> str:
    """One line without secrets: addresses in it lose users, passwords and queries."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status >= 400:
        return f"{status} {getattr(error, 'message', '') or ''}".strip()
    text = re.sub(r"([A-Za-z0-9+.-]+://)[^/\s'\"]*@", r"\1", first_line(error))
    return re.sub(r"\?[^\s'\",)]*", "", text)[:200] or type(error).__name__

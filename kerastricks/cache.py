"""The cache on disk: files or folders that can be made again, written atomically, up to a limit of bytes."""

import contextlib
import os
import secrets
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

from kerastricks.files import discard, draft, remove_leftovers, sync
from kerastricks.progress import gigabytes

_UNFINISHED = ".unfinished"

# What uses an entry of a cache in this process, and which.
_users: list[tuple["weakref.ref[object]", Path]] = []


def cache_home(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Folder of all caches: the given one, else $KERASTRICKS_CACHE, else ~/.cache/kerastricks."""
    return Path(os.path.expanduser(cache_dir or os.environ.get("KERASTRICKS_CACHE") or "~/.cache/kerastricks"))


class DiskCache:
    """Entries of one folder: named by keys, written atomically, removed where room is needed.

    Several processes may use the same folder: each writes under a name of its own, and what it has mapped stays
    readable for it when another one removes or replaces the entry. Drafts that killed processes left are removed.

    Args:
        path: the folder; made where it is missing.
        limit_bytes: largest size of all entries together, with the drafts of all processes; None for no limit.
        suffix: suffix of entries that are files; "" where entries are folders.

    Raises:
        OSError: where it cannot be made.
    """

    def __init__(self, path: Path, limit_bytes: int | None = None, suffix: str = "") -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self.suffix = suffix
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._drafts())

    def entry(self, key: str) -> Path:
        """Path of the entry of a key, whether or not it exists."""
        return self.path / f"{key}{self.suffix}"

    def touch(self, key: str) -> None:
        """Mark an entry as used now."""
        with contextlib.suppress(OSError):  # a folder that can only be read serves too
            os.utime(self.entry(key))

    def hold(self, key: str, user: object) -> None:
        """Keep an entry from being removed while its user lives, and mark it as used now."""
        _users.append((weakref.ref(user), self.entry(key).resolve()))
        self.touch(key)

    def make_room(self, needed: int) -> str | None:
        """Remove the least recently used entries where that makes enough room; else return why it does not."""
        _users[:] = [pair for pair in _users if pair[0]() is not None]
        in_use = {path for _, path in _users}
        entries = [(_last_use(path), _size(path), path) for path in self._entries()]
        removable = sorted(entry for entry in entries if entry[2].resolve() not in in_use)
        can_free = sum(size for _, size, _ in removable)
        room = shutil.disk_usage(self.path).free
        where = "the disk has"
        if self.limit_bytes is not None:
            drafts = sum(_size(path) for path in self._drafts())
            allowed = self.limit_bytes - drafts - sum(size for _, size, _ in entries)
            if allowed < room:
                room, where = allowed, "the limit leaves"
        if room + can_free < needed:
            return f"{gigabytes(needed)} are needed and {where} {gigabytes(max(room + can_free, 0))}"
        missing = needed - room
        for _, size, path in removable:
            if missing <= 0:
                break
            self.remove(path.name.removesuffix(self.suffix))
            missing -= size
        return None

    def remove(self, key: str) -> None:
        """Remove the entry of a key, atomically for other processes."""
        discard(self.entry(key), self.path / f".{key}-{secrets.token_hex(4)}{_UNFINISHED}")

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Write an entry atomically: the empty file or folder of this block, unless an error ends it.

        A file is forced to disk before, and replaces one that another process made meanwhile; a folder is as good as
        that of another process, which stays.
        """
        with draft(self.path, f".{key}-", _UNFINISHED, folder=not self.suffix) as path:
            yield path
            if self.suffix:
                sync(path)
                os.replace(path, self.entry(key))
                return
            try:
                os.rename(path, self.entry(key))
            except OSError:
                if not self.entry(key).exists():
                    raise

    def _entries(self) -> list[Path]:
        found = (path for path in self.path.glob(f"*{self.suffix}") if not path.name.startswith("."))
        return [path for path in found if self.suffix or path.is_dir()]

    def _drafts(self) -> list[Path]:
        return list(self.path.glob(f".*{_UNFINISHED}"))


def _size(path: Path) -> int:
    """Size in bytes of a file, or of all files in a folder; other processes may remove them meanwhile."""
    files = [path] if not path.is_dir() else [Path(at, name) for at, _, names in os.walk(path) for name in names]
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total


def _last_use(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

"""A folder of folders that can be made again: each whole or not there, and never more of them than is allowed."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from kerastricks.errors import DataError
from kerastricks.files import lock_folder, unlock_folder, written

_UNFINISHED = ".unfinished"


class KeptFolders:
    """Names, makes and removes the folders.

    Several processes may use the same place: each writes under a name of its own, and what it has mapped stays readable
    for it when another one removes the folder.

    Args:
        path: is made where it is missing.
        limit_bytes: of all folders together.

    Raises:
        OSError: where it cannot be made.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        path.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()

    def folder(self, key: str) -> Path:
        """Where the folder for a key is or will be."""
        return self.path / key

    def touch(self, key: str) -> None:
        """Notes that it was used."""
        with contextlib.suppress(OSError):  # a place that can only be read serves too
            os.utime(self.folder(key))

    def make_room(self, needed: int) -> None:
        """Removes the folders that were not used for longest, where that makes enough room.

        Raises:
            DataError: where it does not.
        """
        sizes = {entry: _size(entry) for entry in self.path.iterdir()}
        removable = sorted(
            (entry for entry in sizes if not entry.name.startswith(".")), key=lambda entry: _last_use(entry)
        )
        allowed = self.limit_bytes - sum(sizes.values())
        on_disk = shutil.disk_usage(self.path).free
        can_free = sum(sizes[entry] for entry in removable)
        for room, where in ((allowed, "its limit leaves"), (on_disk, "the disk has")):
            if room + can_free < needed:
                raise DataError(
                    f"{self.path}: features need {needed / 1e9:.2f} GB and {where} "
                    f"{max(room + can_free, 0) / 1e9:.2f} GB: name another cache_dir, or take fewer images or layers"
                )
        missing = needed - min(allowed, on_disk)
        for entry in removable:
            if missing <= 0:
                break
            self.remove(entry.name)
            missing -= sizes[entry]

    def remove(self, key: str) -> None:
        """Removes the folder of a key: at once for those who look for it."""
        gone = self.path / f".{key}-{secrets.token_hex(4)}{_UNFINISHED}"
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(self.folder(key), gone)
            shutil.rmtree(gone, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """An empty folder that gets its name when it was filled, and is gone after any error."""
        path, lock = self._new(key)
        try:
            with written(self.folder(key)):
                yield path
            try:
                os.rename(path, self.folder(key))
            except OSError:
                if not self.folder(key).exists():  # what another process made in the meantime is as good
                    raise
        finally:
            shutil.rmtree(path, ignore_errors=True)  # Ctrl-C too leaves nothing behind
            unlock_folder(lock)

    def _new(self, key: str) -> tuple[Path, int | None]:
        while True:
            path = self.path / f".{key}-{secrets.token_hex(4)}{_UNFINISHED}"
            path.mkdir()
            lock = lock_folder(path)
            # Another process may have taken it for a leftover before it was locked.
            if path.exists():
                return path, lock

    def _remove_leftovers(self) -> None:
        """What a process left that was killed: nobody holds its lock."""
        for path in self.path.glob(f".*{_UNFINISHED}"):
            lock = lock_folder(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                unlock_folder(lock)


def _size(path: Path) -> int:
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def _last_use(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

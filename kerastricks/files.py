"""Files and folders written whole: under a temporary name, then renamed; an error names the file."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerastricks.errors import KerasTricksError, WriteError

if sys.platform != "win32":
    import fcntl

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EFBIG: "file too large"}
# TensorFlow, HDF5 and NumPy have errors of their own, with the system's words inside.
_WORDS = {
    re.compile(rf"{words}|errno = {number}\b", re.IGNORECASE): number
    for number, words in (
        (errno.ENOSPC, "no space left on device|[0-9]+ requested and [0-9]+ written"),
        (errno.EDQUOT, "disk quota exceeded"),
        (errno.EFBIG, "file too large"),
    )
}
_BEGUN = ".tmp-begun-"


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Names `path` in the error of a write inside that the system refuses.

    Raises:
        WriteError: for an OSError, and for errors of TensorFlow and HDF5 that say that a disk is full.
    """
    try:
        yield
    except Exception as error:
        refused = write_error(path, error)
        if refused is None:
            raise
        raise refused from None


def write_error(path: Path, error: Exception) -> WriteError | None:
    """What to raise for an error while `path` was written; None where the system did not refuse it."""
    if isinstance(error, KerasTricksError):
        return None
    full = says_full(error)
    if full is not None:
        return WriteError(f"{path}: cannot be written ({full}): make room and try again")
    if isinstance(error, OSError):
        reason = error.strerror or (str(error).splitlines() or [type(error).__name__])[0]
        return WriteError(f"{path}: cannot be written ({reason})")
    return None


def says_full(error: Exception) -> str | None:
    """Why the disk took no more, where that is what an error of the system, of TensorFlow or of HDF5 says."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        number = next((number for words, number in _WORDS.items() if words.search(str(error))), None)
    return _FULL.get(number) if number is not None else None


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which is renamed to it at the end; an error leaves what was there before.

    Raises:
        WriteError: where it cannot be written.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        with written(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Writes a text file whole.

    Args:
        path: of the file.
        text: that it holds, as UTF-8.
        durable: whether it survives a power cut from the return on.

    Raises:
        WriteError: where it cannot be written.
    """
    with whole(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def write_json(path: Path, record: Any, indent: int | None = 2, durable: bool = False) -> None:
    """Writes a JSON record whole; see `write_text`."""
    write_text(path, json.dumps(record, indent=indent) + "\n", durable)


def append_line(path: Path, line: str, durable: bool = False) -> None:
    """Adds a line to a file.

    Raises:
        WriteError: where it cannot be written; a part of the line may be there.
    """
    with written(path), open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
        if durable:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def begun_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent` under a temporary name, to be renamed by `os.rename` when its first state is in it.

    It is removed at the end unless it was renamed. What processes left that were killed meanwhile is removed, too: a
    folder is locked as long as its process works in it.
    """
    _remove_leftovers(parent)
    while True:
        path = parent / f"{_BEGUN}{secrets.token_hex(4)}"
        path.mkdir()
        lock = lock_folder(path)
        if path.exists():  # another process may have taken it for a leftover before it was locked
            break
        unlock_folder(lock)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # Ctrl-C too leaves nothing
        unlock_folder(lock)


def take_name(begun: Path, target: Path) -> None:
    """Gives a begun folder its name; an empty folder of that name is replaced.

    Raises:
        FileExistsError: where something is there.
    """
    try:
        os.rename(begun, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        raise


def _remove_leftovers(parent: Path) -> None:
    for path in parent.glob(f"{_BEGUN}*"):
        lock = lock_folder(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            unlock_folder(lock)


def lock_folder(path: Path) -> int | None:
    """A lock on a folder as long as the descriptor is open; None where it cannot be had."""
    if sys.platform == "win32":
        return None
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError:  # another process has it, or the file system knows no locks
            os.close(descriptor)
    return None


def unlock_folder(lock: int | None) -> None:
    """Lets a lock go, if there is one."""
    if lock is not None:
        os.close(lock)

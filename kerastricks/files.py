"""Atomic writes of files and folders, under a temporary name that is then replaced; reading JSON; locks."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerastricks.errors import DataError, KerasTricksError, WriteError, first_line

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
_DAY = 24 * 3600


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Name `path` in the error of a write in this block that the system refuses.

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
    """Convert an error while `path` was written to a WriteError; None where the system did not refuse it."""
    if isinstance(error, KerasTricksError):
        return None
    full = says_full(error)
    if full is not None:
        return WriteError(f"{path}: cannot be written ({full}): make room and try again")
    if isinstance(error, OSError):
        return WriteError(f"{path}: cannot be written ({error.strerror or first_line(error)})")
    return None


def says_full(error: Exception) -> str | None:
    """Reason why a disk is full, from an error of the system, of TensorFlow or of HDF5; None for other errors."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        number = next((number for words, number in _WORDS.items() if words.search(str(error))), None)
    return _FULL.get(number) if number is not None else None


@contextmanager
def replacing(path: Path, durable: bool = False, exclusive: bool = False, label: str | None = None) -> Iterator[Path]:
    """Replace a file atomically by the temporary one of this block; an error leaves what was there before.

    Args:
        path: the file.
        durable: whether it survives a power cut from the end on.
        exclusive: whether an existing file is left as it is.
        label: ends the temporary name; None for the name of the file.

    Raises:
        FileExistsError: for an exclusive file that is there at the end.
        OSError: where it cannot be written; `whole` names the file.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{label or path.name}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        if exclusive:
            _link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # fails where something is there, which a renaming would replace
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.replace(temporary, path)


def sync(path: Path) -> None:
    """Force the contents of a file to disk."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


@contextmanager
def whole(path: Path, durable: bool = False, label: str | None = None) -> Iterator[Path]:
    """Write a file atomically: `replacing`, with errors that name it.

    Raises:
        WriteError: where it cannot be written.
    """
    with written(path), replacing(path, durable, label=label) as temporary:
        yield temporary


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write a text file atomically.

    Args:
        path: the file.
        text: its contents, encoded as UTF-8.
        durable: whether it survives a power cut from the return on.

    Raises:
        WriteError: where it cannot be written.
    """
    with whole(path, durable) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path: Path, record: Any, indent: int | None = 2, durable: bool = False) -> None:
    """Write a JSON record atomically; see `write_text`."""
    write_text(path, json.dumps(record, indent=indent) + "\n", durable)


def read_json(path: Path) -> Any:
    """Read a JSON record.

    Raises:
        OSError: where it cannot be read.
        ValueError: where it is not JSON, or not UTF-8.
    """
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """Parse JSON that anybody may have written.

    Raises:
        ValueError: where it is not JSON, or nested too deeply, or a number has too many digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        raise ValueError("a number has too many digits") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def try_read_json(path: Path) -> Any:
    """Read a JSON record that another process may not have written yet; None where it is missing or damaged."""
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError):
        return None


def read_json_lines(path: Path) -> list[Any]:
    """Read the records of a file with one in each line; errors are those of `read_json`."""
    return [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def append_line(path: Path, line: str, durable: bool = False) -> None:
    """Append a line to a file.

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
    """Make an empty folder in `parent` under a temporary name, for `take_name` when its first state is in it.

    It is removed at the end unless it was renamed; so are those that killed processes left.
    """
    remove_begun(parent)
    with draft(parent, _BEGUN) as path:
        yield path


def remove_begun(parent: Path) -> None:
    """Remove the begun folders in `parent` that killed processes left; see `remove_leftovers`."""
    remove_leftovers(parent.glob(f"{_BEGUN}*"))


@contextmanager
def draft(parent: Path, prefix: str, suffix: str = "", folder: bool = True) -> Iterator[Path]:
    """Make an empty file or folder with a random name, to be renamed; one still there at the end is removed.

    It is locked meanwhile, so that `remove_leftovers` of another process leaves it.
    """
    while True:
        path = parent / f"{prefix}{secrets.token_hex(4)}{suffix}"
        path.mkdir() if folder else path.touch(exist_ok=False)
        lock, _ = _lock(path)
        if path.exists():  # another process may have taken it for a leftover before it was locked
            break
        _unlock(lock)
    try:
        yield path
    finally:
        _delete(path)  # Ctrl-C too leaves nothing
        _unlock(lock)


def take_name(begun: Path, target: Path) -> None:
    """Give a begun folder its name; an empty folder of that name is replaced.

    Raises:
        FileExistsError: where something is there.
    """
    try:
        os.rename(begun, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        raise


def discard(path: Path, away: Path | None = None) -> None:
    """Remove a file or folder, atomically for other processes; a missing one is no error.

    Args:
        path: the file or folder.
        away: its name while it is removed; None for a temporary one in the same folder.
    """
    if away is None:
        remove_begun(path.parent)
        away = path.with_name(f"{_BEGUN}{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):  # another process was faster
        os.rename(path, away)
        _delete(away)


def _delete(path: Path) -> None:
    """Remove a file or folder as far as that is possible."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove the drafts of processes that were killed: nobody holds their locks.

    Where there are no locks, only those that were not changed for a day.
    """
    for path in paths:
        lock, held = _lock(path)
        if lock is not None or (not held and _age(path) > _DAY):
            _delete(path)
            _unlock(lock)


def _age(path: Path) -> float:
    """Seconds since the last change; 0 where it cannot be told."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _lock(path: Path) -> tuple[int | None, bool]:
    """Lock a file or folder: a descriptor that holds the lock, and whether another process has it.

    Neither where there are no locks: on Windows and on some network file systems.
    """
    if sys.platform == "win32":
        return None, False
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor, False
        except OSError as error:
            os.close(descriptor)
            return None, isinstance(error, BlockingIOError)
    return None, False


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def check_new_folder(path: Path) -> None:
    """Raise DataError unless a folder can be made there."""
    if path.exists() or path.is_symlink():
        raise DataError(f"{path}: exists already: name another folder, or delete it")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path.absolute().parent}: no such folder: make it first")

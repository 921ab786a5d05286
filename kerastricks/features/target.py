"""Where a folder of features is to be made; imports nothing slow, so that a mistake is seen at once."""

from pathlib import Path

from kerastricks.errors import DataError


def check_target(path: Path) -> None:
    """Raises DataError unless a folder can be made there."""
    if path.exists() or path.is_symlink():
        raise DataError(f"{path}: exists already: name another folder, or delete it")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path.absolute().parent}: no such folder: make it first")

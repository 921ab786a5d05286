"""A folder of images."""

import os
import stat
from pathlib import Path

from kerastricks.data.layout import find_layout
from kerastricks.data.source import Source
from kerastricks.errors import DataError


class FolderReader:
    """Reads files below a folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        return (self.path / name).read_bytes()


def folder_source(path: Path) -> Source:
    """The source for a folder.

    Raises:
        DataError: for a folder that cannot be read, or whose layout is none.
    """
    names: list[str] = []
    folders: list[str] = []

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}): give yourself access to it")

    seen: set[str] = set()
    for folder, subfolders, files in os.walk(path, onerror=refuse, followlinks=True):
        # A link to a folder above would bring the same images again and again.
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        relative = Path(folder).relative_to(path).as_posix()
        inside = "" if relative == "." else f"{relative}/"
        names += [inside + name for name in files if not is_special(os.path.join(folder, name))]
        folders += [inside + name for name in subfolders]
    return find_layout(names, folders, FolderReader(path), path.name or str(path))


def is_special(path: str) -> bool:
    """A pipe, socket or device, from which reading may never return."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False  # a broken link: left out with its reason when it is read

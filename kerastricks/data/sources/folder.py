"""Folders of images."""

import os
import stat
from pathlib import Path

from kerastricks.data.sources.layout import find_layout
from kerastricks.data.sources.names import is_file_name, is_ignored, is_no_image
from kerastricks.data.sources.source import Source
from kerastricks.errors import DataError


class FolderReader:
    """Reader of the files below a folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """Read one file."""
        return (self.path / name).read_bytes()


def folder_source(path: Path) -> Source:
    """Find the images of a folder.

    Raises:
        DataError: for a folder that cannot be read or is reached twice by a link, or whose layout is none.
    """
    inside = FolderWalk(path)
    name = path.name or str(path)
    inside.refuse_aliases(name)
    return find_layout(inside.files, inside.folders, FolderReader(path), name, inside.broken)


class FolderWalk:
    """A walk of everything below a folder, in the order of the names; links to folders are followed.

    Hidden files, folders of the system's, pipes, sockets and devices are left out. A folder that was walked already
    is not walked again: `refuse_aliases` says whether that matters.

    Args:
        path: the folder.

    Attributes:
        files: relative paths with forward slashes; links to nowhere are among them.
        folders: likewise, links that stand where a folder would be among them.
        broken: path of a link that leads nowhere or to a folder above it, to what it is.

    Raises:
        DataError: for a folder that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.files: list[str] = []
        self.folders: list[str] = []
        self.broken: dict[str, str] = {}
        self._first: dict[str, tuple[str, str]] = {}  # real path to (where it was found, the last link on the way)
        self._again: list[tuple[str, str, str]] = []  # (real path, where it was found once more, the last link)
        root = os.path.realpath(path)
        waiting: list[tuple[str, str, tuple[str, ...]]] = [("", "", (root,))]
        while waiting:
            inner, link, above = waiting.pop()
            if above[-1] in self._first:
                self._again.append((above[-1], inner, link))
                continue
            self._first[above[-1]] = (inner, link)
            found = []
            for entry in _entries(os.path.join(path, inner) if inner else os.fspath(path)):
                if is_ignored(entry.name):
                    continue
                name = f"{inner}/{entry.name}" if inner else entry.name
                if entry.is_symlink():
                    real = self._follow(entry, name, above)
                    if real is not None:
                        found.append((name, name, (*above, real)))
                elif entry.is_dir():
                    found.append((name, link, (*above, os.path.join(above[-1], entry.name))))
                elif entry.is_file():
                    self.files.append(name)
            self.folders += [name for name, *_ in found]
            waiting += reversed(found)

    def refuse_aliases(self, source_name: str) -> None:
        """Raises DataError where images are reached twice, by a link to a folder that is walked anyway."""
        images = [name for name in self.files if not is_no_image(name)]
        for real, second, link in self._again:
            first, first_link = self._first[real]
            if not any(name.startswith(f"{first}/") for name in images):
                continue
            if first == first_link and second == link:
                what = f"{first} and {second} are links to one folder, {real}"
            elif second == link:
                what = f"{second} is a link to {first}"
            elif first == first_link:
                what = f"{first} is a link to {second}"
            else:
                what = f"{second} and {first} are one folder, by the link {link or first_link}"
            raise DataError(
                f"{source_name}: {what}: its images would be there twice: delete the link, or copy them if you mean it"
            )

    def _follow(self, entry: os.DirEntry[str], name: str, above: tuple[str, ...]) -> str | None:
        """The real path of the folder that a link leads to; None for whatever else it is, which is recorded."""
        try:
            mode = entry.stat().st_mode
        except OSError:  # it leads nowhere, or in a circle
            try:
                target = os.readlink(entry.path)
            except OSError:  # gone since the folder was listed
                return None
            self.files.append(name)  # left out with its reason when it is read
            if not is_file_name(entry.name):
                self._break(name, f"is a broken link, to {target}: mend or delete it")
            return None
        if stat.S_ISREG(mode):
            self.files.append(name)
        if not stat.S_ISDIR(mode):
            return None
        real = os.path.realpath(entry.path)
        inside = real.rstrip(os.sep) + os.sep
        # Followed, it would bring the same images again and again.
        if any(folder == real or folder.startswith(inside) for folder in above):
            self._break(name, f"is a link to a folder above it, {real}: delete it")
            return None
        return real

    def _break(self, name: str, why: str) -> None:
        self.folders.append(name)
        self.broken[name] = why


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}): give yourself access to it") from None


def is_special(path: str) -> bool:
    """Whether a path is a pipe, socket or device, from which reading may never return."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False  # a broken link: left out with its reason when it is read

"""Zips of images, read without unpacking them."""

import posixpath
import stat
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from kerastricks.data.sources.layout import find_layout
from kerastricks.data.sources.names import is_file_name, is_ignored, is_no_image
from kerastricks.data.sources.source import Source
from kerastricks.errors import DataError

_UNIX = 3
_UTF_8 = 0x800
_WINDOWS = (0, 10, 14)  # FAT, NTFS, VFAT: systems whose backslash stands in no name


class ZipReader:
    """Reader of the members of a zip, without unpacking it.

    A name that does not say how it is encoded is UTF-8 where it can be (macOS writes that), else CP437.

    Args:
        path: the zip.
        max_bytes: largest size of a member, decompressed; a larger one is refused as an archive bomb.

    Attributes:
        members: by their names with forward slashes, without `./`, a leading slash and entries of folders.
        folders: names of the folders that have an entry.

    Raises:
        DataError: for a name that leads out of the zip, or two images of one name.
    """

    def __init__(self, path: Path, max_bytes: int = 1 << 28) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.archive = zipfile.ZipFile(path)
        self.members: dict[str, zipfile.ZipInfo] = {}
        self.folders: list[str] = []
        for member in self.archive.infolist():
            name, is_folder = _plain_name(member)
            if name == ".." or name.startswith("../"):
                raise DataError(f"{path}: the name of {member.filename} leads out of the zip: make the zip again")
            if is_folder:
                self.folders.append(name)
            else:
                self._add(name, member)

    def read(self, name: str) -> bytes:
        """Read one member; its CRC is checked."""
        member = self.members[name]
        if is_link(member):
            raise OSError("a link, which is not followed in a zip")
        if member.file_size > self.max_bytes:
            raise OSError(f"{member.file_size} bytes decompressed, more than {self.max_bytes}")
        return self.archive.read(member)

    def _add(self, name: str, member: zipfile.ZipInfo) -> None:
        """Add a member; one that is there twice with the same content counts once."""
        known = self.members.setdefault(name, member)
        if (known.CRC, known.file_size) == (member.CRC, member.file_size):
            return
        if is_no_image(name) or any(is_ignored(part) for part in name.split("/")):
            self.members[name] = member
            return
        raise DataError(f"{self.path}: {name} is in the zip twice, with different contents: make the zip again")


def zip_source(path: Path) -> Source:
    """Find the images of a zip.

    Raises:
        DataError: for a file that is no zip, is encrypted, has names that cannot be used, or whose layout is none.
    """
    try:
        reader = ZipReader(path)
    except (zipfile.BadZipFile, OSError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as a zip ({error}): download or make it again") from None
    if any(member.flag_bits & 1 for member in reader.archive.infolist()):
        raise DataError(f"{path}: the zip is encrypted: unpack it and give the folder")
    # A zip may or may not have members for its folders.
    folders = {str(folder) for name in reader.members for folder in PurePosixPath(name).parents} | {*reader.folders}
    links = {
        name: "is a link, and links are not followed in a zip: zip what it leads to"
        for name, member in reader.members.items()
        if is_link(member) and not is_file_name(name)
    }
    return find_layout(reader.members, (folders | links.keys()) - {"."}, reader, path.stem, links)


def is_link(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a symbolic link, which has a path for its content."""
    return member.create_system == _UNIX and stat.S_ISLNK(member.external_attr >> 16)


def _plain_name(member: zipfile.ZipInfo) -> tuple[str, bool]:
    """Normalize a name: forward slashes, relative, without detours; and whether it is that of a folder."""
    name = member.filename
    if not member.flag_bits & _UTF_8:
        # Other bytes beyond ASCII are hardly ever valid UTF-8, and CP437's would be box drawings.
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    if "\\" in name and ("/" not in name.removeprefix("./") or member.create_system in _WINDOWS):
        name = name.replace("\\", "/")
    return posixpath.normpath(name.lstrip("/") or "."), name.endswith("/")

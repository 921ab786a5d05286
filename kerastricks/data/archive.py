"""A zip of images, read in place."""

import zipfile
from pathlib import Path, PurePosixPath

from kerastricks.data.layout import find_layout
from kerastricks.data.source import Source
from kerastricks.errors import DataError


class ZipReader:
    """Reads members of a zip without unpacking it.

    Args:
        path: the zip.
        max_bytes: the largest member, decompressed; a larger one is refused as an archive bomb.
    """

    def __init__(self, path: Path, max_bytes: int = 1 << 28) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.archive = zipfile.ZipFile(path)

    def read(self, name: str) -> bytes:
        """The bytes of one member; its CRC is checked."""
        size = self.archive.getinfo(name).file_size
        if size > self.max_bytes:
            raise OSError(f"{size} bytes decompressed, more than {self.max_bytes}")
        return self.archive.read(name)


def zip_source(path: Path) -> Source:
    """The source for a zip.

    Raises:
        DataError: for a file that is no zip, is encrypted, or whose layout is none.
    """
    try:
        reader = ZipReader(path)
    except (zipfile.BadZipFile, OSError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as a zip ({error}): download or make it again") from None
    members = reader.archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise DataError(f"{path}: the zip is encrypted: unpack it and give the folder")
    names = [member.filename for member in members if not member.is_dir()]
    # A zip may or may not have members for its folders.
    folders = {str(folder) for member in members for folder in PurePosixPath(member.filename).parents}
    folders |= {member.filename for member in members if member.is_dir()}
    return find_layout(names, folders - {"."}, reader, path.stem)

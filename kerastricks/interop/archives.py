"""The zip archive of a `.keras` file: its structure is checked before any entry is read."""

import io
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, BinaryIO

from kerastricks.errors import ModelFileError
from kerastricks.interop.report import FileFinding, shortened

ENTRIES = ("metadata.json", "config.json", "model.weights.h5")
_MOST_ENTRIES = 1000  # vocabularies of preprocessing layers are entries
_MOST_RATIO = 20  # weights shrink by a tenth, JSON to a fifteenth
_FREE_SIZE = 1_000_000  # bytes, up to which any ratio is legal
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s5H3L2H")
Refuse = Callable[[str, str, str], None]
_DESCRIPTOR = 24  # bytes, the longest data descriptor after an entry


class Window(io.RawIOBase):
    """A read-only part of an open file; the file's own position is moved, not used.

    Args:
        file: seekable.
        start: first byte.
        size: number of bytes.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        wanted = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def open_archive(file: BinaryIO, size: int) -> tuple[zipfile.ZipFile, list[FileFinding]]:
    """Open an archive and check its structure; findings are in the order of its entries.

    Where there are none, every reader sees the same entries: one directory, at the end, that agrees with what is
    before each entry, and no bytes that no entry has.

    Args:
        file: the open file.
        size: of the file, in bytes.

    Raises:
        ModelFileError: where it is damaged.
    """
    findings: list[FileFinding] = []

    def refuse(code: str, where: str, why: str) -> None:
        findings.append(FileFinding(code=code, where=shortened(where), why=why))

    directory = _check_end(file, size, refuse)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, UnicodeError, OSError) as error:
        raise ModelFileError(f"is damaged ({shortened(str(error))}): copy the file again") from None
    seen: set[str] = set()
    spans: list[tuple[int, int, str]] = []
    for entry in archive.infolist():
        name = entry.orig_filename
        _check_name(entry, refuse)
        if name.casefold() in seen:
            refuse("entry", name, "is there twice")
        seen.add(name.casefold())
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            refuse("link", name, "is a link or a device")
        if entry.flag_bits & 0x2041:
            refuse("entry", name, "is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            refuse("entry", name, f"is compressed by method {entry.compress_type}")
        stored = entry.compress_type == zipfile.ZIP_STORED
        most = entry.compress_size if stored else max(_FREE_SIZE, _MOST_RATIO * entry.compress_size)
        if entry.file_size > most or (stored and entry.file_size != entry.compress_size):
            refuse("size", name, f"is {entry.file_size:,} bytes, of {entry.compress_size:,} stored ones")
        spans.append((entry.header_offset, _check_header(file, entry, size, refuse), name))
    spans.append((directory, directory, "the directory"))
    _check_spans(spans, refuse)
    total = sum(entry.file_size for entry in archive.infolist())
    if total > max(_FREE_SIZE, _MOST_RATIO * size):
        refuse("size", "the archive", f"holds {total:,} bytes in a file of {size:,}")
    for name in ENTRIES:
        if name not in seen and not findings:
            raise ModelFileError(f"is no Keras model (no {name} inside): give a model file")
    return archive, findings


def _check_end(file: BinaryIO, size: int, refuse: Refuse) -> int:
    """Check the end of the directory; returns where the directory begins."""
    file.seek(max(0, size - 65_557))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise ModelFileError("is damaged (the zip archive is cut off): copy the file again")
    _, disk, first, here, entries, length, start, comment = _END.unpack_from(tail, at)
    end = size - len(tail) + at
    if at + _END.size != len(tail) or comment:
        refuse("entry", "the archive", "has a comment, or bytes after its end")
    locator_at = at - _LOCATOR.size
    if locator_at >= 0 and tail[locator_at : locator_at + 4] == b"PK\6\7":
        short = (disk, first, here, entries, length, start)
        _, _, record_at, _ = _LOCATOR.unpack_from(tail, locator_at)
        file.seek(record_at)
        record = file.read(_END64.size)
        if len(record) < _END64.size or record[:4] != b"PK\6\6":
            raise ModelFileError("is damaged (its zip64 record is missing): copy the file again")
        _, _, _, _, *rest = _END64.unpack(record)
        full = tuple(rest)
        limits = (0xFFFF,) * 4 + (0xFFFFFFFF,) * 2
        honest = all(a in (b, most) for a, b, most in zip(short, full, limits, strict=True))
        if not honest or record_at + _END64.size != end - _LOCATOR.size:
            refuse("zip64", "the archive", "has a zip64 record that disagrees with the directory's end")
        disk, first, here, entries, length, start = full
        end = record_at
    if disk or first or here != entries or entries > _MOST_ENTRIES:
        refuse("entry", "the archive", f"has {entries:,} entries (at most {_MOST_ENTRIES:,}), or several parts")
    if start + length != end:
        refuse("entry", "the archive", "has bytes before its directory, or a directory elsewhere")
    if length > 1000 * _MOST_ENTRIES:  # zipfile reads all of it
        raise ModelFileError(f"is no Keras model (a directory of {length:,} bytes): give a model file")
    return start


def _check_name(entry: zipfile.ZipInfo, refuse: Refuse) -> None:
    name = entry.orig_filename
    parts = name.removesuffix("/").split("/")
    if name.startswith(("/", "\\")) or ":" in name or "\\" in name or ".." in parts or not name.isprintable():
        refuse("entry", name, "leads out of the archive, or is no plain name")
    elif name not in ENTRIES and (parts[0] != "assets" or "." in parts or "" in parts):
        refuse("entry", name, "is no entry of a Keras model")


def _check_header(file: BinaryIO, entry: zipfile.ZipInfo, size: int, refuse: Refuse) -> int:
    """Compare an entry with the header before its data; returns the end of its data."""
    file.seek(entry.header_offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
        refuse("header", entry.orig_filename, "has no header where the directory says")
        return entry.header_offset
    _, _, flags, method, _, _, crc, packed, unpacked, name_length, extra_length = _LOCAL.unpack(header)
    name, extra = file.read(name_length), file.read(extra_length)
    if packed == 0xFFFFFFFF or unpacked == 0xFFFFFFFF:
        wide = struct.pack("<HHQQ", 1, 16, entry.file_size, entry.compress_size)
        if wide in extra:
            packed, unpacked = entry.compress_size, entry.file_size
    sizes = (crc, packed, unpacked)
    same = sizes == (entry.CRC, entry.compress_size, entry.file_size) or (flags & 8 and not any(sizes))
    encoding = "utf-8" if flags & 0x800 else "cp437"
    written = entry.orig_filename.encode(encoding, "replace")
    if not same or name != written or method != entry.compress_type or flags != entry.flag_bits:
        refuse("header", entry.orig_filename, "has a header that disagrees with the directory")
    end = entry.header_offset + _LOCAL.size + name_length + extra_length + entry.compress_size
    if end > size:
        refuse("header", entry.orig_filename, "ends after the file")
    return end


def _check_spans(spans: list[tuple[int, int, str]], refuse: Refuse) -> None:
    end = 0
    for start, stop, name in sorted(spans):
        if start < end:
            refuse("overlap", name, "shares bytes with another entry")
        elif start - end > _DESCRIPTOR or (start and not end):
            refuse("entry", name, f"comes after {start - end:,} bytes that no entry has")
        end = max(end, stop)


def read_entry(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Read an entry, at most one byte more than `most`; its checksum is compared."""
    try:
        with archive.open(name) as entry:
            return entry.read(most + 1)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, NotImplementedError) as error:
        raise ModelFileError(f"is damaged ({name}: {shortened(str(error))}): copy the file again") from None


def open_entry(archive: zipfile.ZipFile, name: str, file: BinaryIO) -> IO[bytes]:
    """Open an entry so that any part of it can be read, after its checksum was compared.

    An entry that is stored is read in place, a compressed one from a temporary file without a name.
    """
    entry = archive.getinfo(name)
    stored = entry.compress_type == zipfile.ZIP_STORED
    copy = None if stored else tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with archive.open(entry) as data:
            while chunk := data.read(1 << 20):
                if copy is not None:
                    copy.write(chunk)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
        raise ModelFileError(f"is damaged ({name}: {shortened(str(error))}): copy the file again") from None
    if copy is not None:
        return copy
    file.seek(entry.header_offset)
    *_, name_length, extra_length = _LOCAL.unpack(file.read(_LOCAL.size))
    start = entry.header_offset + _LOCAL.size + name_length + extra_length
    return io.BufferedReader(Window(file, start, entry.file_size), 1 << 16)

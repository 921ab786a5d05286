"""Members of a tar by its headers, in one pass: `tarfile` makes an object of each, which takes ten times as long."""

import os
import tarfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path

from kerastricks.errors import DataError

AGAIN = "copy or make it again"
_BLOCK = 512
_END = bytes(_BLOCK)
_NEAR = 1 << 16  # bytes from a header to the next, up to which all between them is read too
_WINDOW = 1 << 20
_FEW = 4096  # read at once where members are large: a header, and a small member after it
_REGULAR = (b"0", b"\0", b"7")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders, pipes
_ADLER = 65521  # modulus of the first half of Adler-32, which is 1 + the sum of the bytes


class TarHeaders:
    """The regular members of an uncompressed tar.

    Plain headers, long names and the path and size of POSIX headers are read here, everything else by `tarfile`.

    Args:
        path: the tar.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._bytes = os.fstat(self._file.fileno()).st_size
        self._start, self._window = 0, b""
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> "TarHeaders":
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()
        if self._tar is not None:
            self._tar.close()

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        """Name, offset and bytes of each member, in the tar's order.

        Raises:
            DataError: for a tar that is cut off, also between two members, or damaged, and a sparse member.
        """
        position = before = 0
        while True:
            header = self._header(position, position - before)
            before = position
            if header == _END:
                return
            if len(header) < _BLOCK:
                raise DataError(f"{self.path}: is cut off after {position} bytes, where its end should be: {AGAIN}")
            found = self._plain(position, header) or self._extended(position, header)
            if found is None:
                position = yield from self._by_tarfile(position)
                continue
            name, offset, size = found
            if offset + size > self._bytes:
                raise DataError(f"{self.path}: is cut off after {self._bytes} bytes, inside {name}: {AGAIN}")
            if name:
                yield name, offset, size
            position = offset + _blocks(size)

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes; fewer at the end of the file."""
        start = offset - self._start
        if start >= 0 and start + size <= len(self._window):
            return self._window[start : start + size]
        self._file.seek(offset)
        return self._file.read(size)

    def _header(self, position: int, step: int) -> bytes:
        start = position - self._start
        if not 0 <= start <= len(self._window) - _BLOCK:
            self._file.seek(position)
            self._start, self._window = position, self._file.read(_WINDOW if 0 < step <= _NEAR else _FEW)
            start = 0
        return self._window[start : start + _BLOCK]

    def _plain(self, position: int, header: bytes) -> tuple[str, int, int] | None:
        """Name, offset and bytes of a member; no name for one that is no file, None for what is not plain."""
        kind = header[156:157]
        regular = kind in _REGULAR
        if not regular and kind not in _WITHOUT_DATA:
            return None
        size = _checked_size(header)
        name = header[:100].partition(b"\0")[0]
        if size is None or (regular and name.endswith(b"/")) or self._has_defaults:
            return None
        if not regular:
            return "", position + _BLOCK, 0
        if header[345]:
            name = header[345:500].partition(b"\0")[0] + b"/" + name
        return os.fsdecode(name), position + _BLOCK, size

    @property
    def _has_defaults(self) -> bool:
        """Whether the tar has said the path or size of all that follows."""
        return self._tar is not None and not {"path", "size"}.isdisjoint(self._tar.pax_headers)

    def _extended(self, position: int, header: bytes) -> tuple[str, int, int] | None:
        """A member after a header with its long name, or a POSIX one with at most path, size and times."""
        kind, more = header[156:157], _checked_size(header)
        if kind not in (b"L", b"x") or more is None or more > _WINDOW:
            return None
        text = self.read(position + _BLOCK, more)
        following = position + _BLOCK + _blocks(more)
        member = self.read(following, _BLOCK)
        if len(text) < more or len(member) < _BLOCK or member[156:157] not in _REGULAR:
            return None
        found = self._plain(following, member)
        said = {b"path": text.partition(b"\0")[0]} if kind == b"L" else _records(text)
        if found is None or said is None:
            return None
        name = os.fsdecode(said[b"path"]) if b"path" in said else found[0]
        size = said.get(b"size", b"%d" % found[2])
        return None if name.endswith("/") or not size.isdigit() else (name, found[1], int(size))

    def _by_tarfile(self, position: int) -> Generator[tuple[str, int, int], None, int]:
        """The member at an offset; returns where the next one is."""
        try:
            if self._tar is None:
                self._tar = tarfile.open(self.path, "r:")  # noqa: SIM115 - see __exit__
            tar = self._tar
            tar.firstmember, tar.members, tar.offset = None, [], position  # type: ignore[attr-defined]
            tar.fileobj.seek(position)
            member = tar.next()
        except tarfile.TarError as error:
            raise DataError(f"{self.path}: cannot be read as a tar ({error}; cut off or damaged): {AGAIN}") from None
        if member is None:
            raise DataError(f"{self.path}: cannot be read as a tar (no header at byte {position}; damaged): {AGAIN}")
        if member.issparse():
            raise DataError(f"{self.path}: {member.name} is stored with holes: make the tar again without --sparse")
        if member.isreg() and member.offset_data + member.size <= self._bytes:  # else the next header is missing
            yield member.name, member.offset_data, member.size
        return tar.offset


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _checked_size(header: bytes) -> int | None:
    """Bytes of a member; None where the checksum is wrong or a number is not written in octal digits."""
    field = header[148:156]
    try:
        stored = int(field.partition(b"\0")[0], 8)
        size = int(header[124:136].partition(b"\0")[0], 8)
    except ValueError:
        return None
    # The sum counts its own field as eight spaces.
    right = (zlib.adler32(header) & 0xFFFF) == (1 + stored - 256 + sum(field)) % _ADLER
    return size if right and size >= 0 else None


def _records(text: bytes) -> dict[bytes, bytes] | None:
    """Records "LENGTH KEY=VALUE\\n" of a POSIX header; None where one is damaged or says more than a path and times."""
    found = {}
    while text and text[:1] != b"\0":
        digits, space, _ = text.partition(b" ")
        if not space or not digits.isdigit() or not len(digits) + 2 < int(digits) <= len(text):
            return None
        record, text = text[len(digits) + 1 : int(digits)], text[int(digits) :]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or key.startswith(b"GNU.sparse") or key == b"hdrcharset":
            return None
        found[key] = value[:-1]
    return found

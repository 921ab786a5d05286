"""Headers of tars, read in one pass: what `tarfile` finds, in all formats."""

import io
import tarfile

import pytest

from kerastricks.data.sources.tar_headers import TarHeaders
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def write(path, tar_format, pax_headers=None):
    """Short, long and accented names, times with fractions, folders, links, members of 0 to 100,000 bytes."""
    with tarfile.open(path, "w", format=tar_format, pax_headers=pax_headers) as tar:
        for number, name in enumerate(["a.jpg", "d" * 60 + "/" + "e" * 60 + ".jpg", "ä.cls", "f/" * 40 + "g.png"]):
            member = tarfile.TarInfo(name)
            member.size = [0, 5, 512, 100_000][number]
            member.mtime = 1.5 if tar_format == tarfile.PAX_FORMAT else 1
            tar.addfile(member, io.BytesIO(bytes([number]) * member.size))
            for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
                other = tarfile.TarInfo(f"{number}-{kind.decode()}")
                other.type, other.linkname = kind, "a.jpg"
                tar.addfile(other)
        if tar_format != tarfile.USTAR_FORMAT:
            member = tarfile.TarInfo("h" * 300 + ".jpg")
            member.size = 7
            tar.addfile(member, io.BytesIO(b"1234567"))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_members_are_those_of_tarfile(tmp_path, name):
    path = write(tmp_path / "x.tar", FORMATS[name])
    with tarfile.open(path) as tar:
        expected = [(one.name, one.offset_data, one.size) for one in tar if one.isreg()]
    with TarHeaders(path) as members:
        assert list(members) == expected
        assert members.read(*expected[1][1:]) == bytes([1]) * 5


def test_what_a_tar_says_of_all_its_members_is_no_member(tmp_path):
    path = write(tmp_path / "x.tar", tarfile.PAX_FORMAT, {"comment": "made by git"})
    with TarHeaders(path) as members:
        assert [name for name, _, _ in members][:1] == ["a.jpg"]


def test_a_size_that_is_no_octal_number_is_read_too(tmp_path):
    path = write(tmp_path / "x.tar", tarfile.GNU_FORMAT)
    contents = bytearray(path.read_bytes())
    contents[124:136] = b"\x80" + bytes(11)  # of a.jpg: 0 in base 256
    contents[148:156] = b"%06o\0 " % (sum(contents[:148]) + 8 * 32 + sum(contents[156:512]))
    path.write_bytes(contents)
    with TarHeaders(path) as members:
        assert next(iter(members)) == ("a.jpg", 512, 0)


def test_a_damaged_header_is_one_line(tmp_path):
    path = write(tmp_path / "x.tar", tarfile.GNU_FORMAT)
    contents = bytearray(path.read_bytes())
    contents[512] ^= 1
    path.write_bytes(contents)
    with TarHeaders(path) as members, pytest.raises(DataError, match=r"x\.tar: cannot be read as a tar \(no header"):
        list(members)

"""The orientation of an image, wherever its file has it."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from image_bytes import (
    HEIGHT,
    JPEG_LEVELS,
    ORDERS,
    WIDTH,
    app1,
    decoded,
    encode,
    jpeg,
    largest_difference,
    noisy_pixels,
    pillow_rgb,
    segment,
    smooth_pixels,
    tiff,
)
from PIL import Image, ImageOps

from kerastricks import data
from kerastricks.data.decoding.exif import is_upright_jpeg
from kerastricks.data.sources.headers import read_header

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["big", "little", "pillow", "behind APP0"])
def test_exif_orientation_is_applied_as_pillow_does(orientation, order):
    plain = jpeg()
    if order == "pillow":
        exif = Image.Exif()
        exif[0x0112] = orientation
        contents = encode(Image.fromarray(smooth_pixels()), "JPEG", quality=95, exif=exif)
    elif order == "behind APP0":
        end = 4 + struct.unpack(">H", plain[4:6])[0]
        assert plain[2:4] == b"\xff\xe0"
        contents = plain[:end] + app1(orientation, "little") + plain[end:]
    else:
        contents = plain[:2] + app1(orientation, order) + plain[2:]
    reference = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))))
    assert reference.shape[:2] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))
    assert largest_difference(decoded(contents), reference) <= JPEG_LEVELS


def test_exif_is_found_behind_xmp_and_a_comment():
    plain = jpeg()
    others = segment(b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>") + segment(b"a comment", 0xFE)
    contents = plain[:2] + others + app1(6, "big") + plain[2:]
    assert largest_difference(decoded(contents), np.rot90(pillow_rgb(plain), -1)) <= JPEG_LEVELS


@pytest.mark.parametrize(
    "payload",
    [
        b"Exif\0\0",
        b"Exif\0\0MM",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\xf0\xff\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0" + bytes(30),
        b"Exif\0\0" + b"\xff" * 30,
    ],
    ids=["no header", "two bytes", "far offset", "far little offset", "many entries", "zeros", "ones"],
)
def test_a_damaged_exif_block_does_not_stop_decoding(payload):
    plain = jpeg()
    np.testing.assert_array_equal(decoded(plain[:2] + segment(payload) + plain[2:]), decoded(plain))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["long", "fill bytes", "after 180 kB", "second EXIF block"])
def test_exif_is_found_however_it_is_written(order, kind):
    plain = jpeg()
    block = app1(6, order, long=kind == "long")
    before = {
        "fill bytes": b"\xff" * 3,
        "after 180 kB": segment(bytes(60_000), 0xE2) * 3,
        "second EXIF block": segment(b"Exif\0\0"),
    }
    contents = plain[:2] + before.get(kind, b"") + block + plain[2:]
    reference = np.rot90(pillow_rgb(plain), -1)
    assert largest_difference(decoded(contents), reference) <= JPEG_LEVELS
    assert read_header(contents, 10**6)[:2] == reference.shape[:2]
    assert not is_upright_jpeg(contents)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_exif_of_png_and_webp_is_applied_as_pillow_does(orientation, image_format):
    options = {"lossless": True} if image_format == "WEBP" else {}
    block = Image.Exif()
    block[0x0112] = orientation
    contents = encode(Image.fromarray(noisy_pixels()), image_format, exif=block, **options)
    reference = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))))
    np.testing.assert_array_equal(decoded(contents), reference)
    assert read_header(contents, 10**6)[:2] == reference.shape[:2]


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"], ids=["plain", "prefixed"])
@pytest.mark.parametrize("order", ORDERS)
def test_exif_of_a_webp_may_have_the_prefix_of_jpeg(prefix, order):
    block = prefix + tiff(8, order)
    contents = encode(Image.fromarray(noisy_pixels()), "WEBP", lossless=True, exif=block)
    np.testing.assert_array_equal(decoded(contents), np.rot90(noisy_pixels()))
    without_flag = contents[:20] + bytes([contents[20] & ~0x08]) + contents[21:]
    np.testing.assert_array_equal(decoded(without_flag), noisy_pixels())


def test_exif_after_the_pixels_of_a_png_is_found():
    plain = encode(Image.fromarray(noisy_pixels()), "PNG")
    block = tiff(3, "little")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    np.testing.assert_array_equal(decoded(plain[:-12] + chunk + plain[-12:]), noisy_pixels()[::-1, ::-1])


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_illegal_orientation_is_ignored(orientation):
    plain = jpeg()
    contents = plain[:2] + app1(orientation, "big") + plain[2:]
    np.testing.assert_array_equal(decoded(contents), decoded(plain))


def test_the_size_of_a_turned_jpeg_is_that_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = encode(Image.fromarray(smooth_pixels()), "JPEG", exif=exif)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for index in range(4):
            (tmp_path / label / f"{index}.jpg").write_bytes(raw)
    assert data.load(tmp_path).image_shape == (WIDTH, HEIGHT, 3)


def _exif(order, entries, junk=b""):
    """A TIFF block of these entries: (tag, type, count, the four bytes of its value)."""
    mark = ORDERS[order]
    header = {"big": b"MM", "little": b"II"}[order] + struct.pack(f"{mark}HIH", 42, 8, len(entries))
    return header + b"".join(struct.pack(f"{mark}HHI", *entry[:3]) + entry[3] for entry in entries) + bytes(4) + junk


def _turn(value, kind="H", type_number=3, count=1):
    return (0x0112, type_number, count, struct.pack(f">{kind}", value).ljust(4, b"\0"))


_OTHER = (0x010F, 3, 1, bytes(4))
_ODD_BLOCKS = {
    **{
        f"type {number}": [_exif("big", [_turn(6, kind, number)])]
        for number, kind in {1: "B", 3: "H", 4: "I", 6: "b", 7: "H", 8: "h", 9: "i"}.items()
    },
    "two numbers": [_exif("big", [_turn(6, count=2)])],
    "no number": [_exif("big", [_turn(6, count=0)])],
    "twice": [_exif("big", [_turn(3), _turn(6)])],
    "after 300 others": [_exif("big", [_OTHER] * 300 + [_turn(6)])],
    "first block without": [_exif("big", [_OTHER]), _exif("big", [_turn(6)])],
    "first block illegal": [_exif("big", [_turn(0)]), _exif("big", [_turn(6)])],
    "in two parts": [_exif("big", [_OTHER, _turn(6)])[:24], _exif("big", [_OTHER, _turn(6)])[24:]],
    "cut off": [_exif("big", [_OTHER, _turn(6)])[:-6]],
    "next directory": [_exif("big", [_OTHER])[:-4] + struct.pack(">IH", 26, 1) + _exif("big", [_turn(6)])[10:]],
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged blocks
@pytest.mark.parametrize("blocks", _ODD_BLOCKS.values(), ids=_ODD_BLOCKS)
@pytest.mark.parametrize("place", ["start", "tables", "frame", "scan"])
def test_odd_exif_blocks_are_read_as_pillow_reads_them(blocks, place):
    plain = jpeg()
    at = {"start": 2, "tables": plain.index(b"\xff\xdb"), "frame": plain.index(b"\xff\xc0")}
    at["scan"] = plain.index(b"\xff\xda")
    segments = b"".join(segment(b"Exif\0\0" + block) for block in blocks)
    contents = plain[: at[place]] + segments + plain[at[place] :]
    reference = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))))
    np.testing.assert_array_equal(decoded(contents), reference)
    assert read_header(contents, 10**6)[:2] == reference.shape[:2]


@pytest.mark.parametrize("filling", [b"\xff", b"\0", b"\xff\xfe\0\2"], ids=["fill bytes", "zeros", "comments"])
def test_millions_of_empty_segments_before_exif_take_no_time(filling):
    plain = jpeg()
    contents = plain[:2] + segment(b"", 0xFE) + filling * 1_000_000 + app1(6, "big") + plain[2:]
    started = time.perf_counter()
    assert read_header(contents, 10**6)[:2] in ((HEIGHT, WIDTH), (WIDTH, HEIGHT))
    assert time.perf_counter() - started < 15  # several minutes, if each were looked at


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"tEXt", b"Comment\0of eXIf"), (b"eXIf", tiff(6, "big"))],
        [(b"tEXt", b"Comment\0eXIf" + tiff(6, "big"))],
        [(b"eXIf", b"Exif\0\0" + tiff(6, "little"))],
        [(b"eXIf", tiff(6, "big")), (b"eXIf", tiff(3, "big"))],
        [(b"eXIf", b"")],
        [(b"IDAT", b""), (b"IEND", b""), (b"eXIf", tiff(6, "big"))],
    ],
    ids=["behind a text", "in a text", "prefixed", "twice", "empty", "after the end"],
)
def test_exif_of_a_png_is_that_of_its_chunks(chunks):
    plain = encode(Image.fromarray(noisy_pixels()), "PNG")
    at = len(plain) - 12 if chunks[0][0] == b"IDAT" else 33
    contents = plain[:at] + b"".join(_chunk(*chunk) for chunk in chunks) + plain[at:]
    reference = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))))
    np.testing.assert_array_equal(decoded(contents), reference)
    assert read_header(contents, 10**6)[:2] == reference.shape[:2]


def test_exif_of_a_webp_is_that_of_its_chunk():
    profile = b"a profile with EXIF in it"  # of an odd length
    block = tiff(6, "big")
    contents = encode(Image.fromarray(noisy_pixels()), "WEBP", lossless=True, icc_profile=profile, exif=block)
    assert contents.index(b"EXIF") < contents.rindex(b"EXIF")
    np.testing.assert_array_equal(decoded(contents), np.rot90(noisy_pixels(), -1))
    assert read_header(contents, 10**6)[:2] == (WIDTH, HEIGHT)

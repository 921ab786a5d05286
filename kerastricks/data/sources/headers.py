"""Read the headers of image files: format, size, colour.

By code of its own, which knows what `decode_image` decodes: Pillow calls a JPEG with a second picture by another name,
unpacks texts in a PNG, and has other rules for EXIF.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from kerastricks.data.sources.source import UNREADABLE, Files
from kerastricks.errors import DataError
from kerastricks.progress import Progress

# Limits of the decoder, which looks at the bytes again.
MAX_PIXELS = 100_000_000  # an image of more is taken for a decompression bomb
PALETTE_BITS = 8  # of a BMP whose palette can be read
BMP_HEADERS = (40, 52, 56, 64, 108, 124)  # lengths in bytes of those that are known, but for OS/2's first
BMP_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF)  # of red, green and blue, where a BMP says so
START_OF_SCAN = b"\xff\xda"  # of a JPEG
MAX_SCANS = 500  # of a JPEG: each takes the time of the whole picture, and may have a few bytes (encoders write 10)
MAX_EXTENSIONS = 1000  # of a GIF before its picture: a small file can have millions of empty ones
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width
# Markers of JPEG (ITU-R T.81, table B.1).
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_FRAMES_NOT_DECODED = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical"),
}
_ENDS = {0xD8, 0xD9, 0xDA}  # the picture begins or ends
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD8), 0xFF}
# Formats that Pillow does not name.
_NAMED = {
    b"ftyphei": "HEIC",
    b"ftyphev": "HEIC",
    b"ftypmif1": "HEIF",
    b"ftypavi": "AVIF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"<svg": "SVG",
}


@dataclass(frozen=True)
class Headers:
    """Headers of the files of a split.

    Args:
        sizes: (N, 2) height and width in pixels as seen upright; 0 where skipped.
        checksums: (N,) CRC-32 of the bytes.
        upright_jpeg: (N,) bool, whether it is a JPEG that is not turned.
        grey: whether all images are grey.
        skipped: index to reason.
    """

    sizes: np.ndarray
    checksums: np.ndarray
    upright_jpeg: np.ndarray
    grey: bool
    skipped: dict[int, str]


def read_headers(files: Files, max_pixels: int, description: str, progress: Progress) -> Headers:
    """Read every file of a split once.

    Args:
        files: files of the split.
        max_pixels: largest number of pixels; an image of more is a decompression bomb.
        description: label of the progress.
        progress: shows how many files are done.
    """
    sizes = np.zeros((len(files), 2), np.int32)
    checksums = np.zeros(len(files), np.uint32)
    upright = np.zeros(len(files), bool)
    grey = True
    skipped: dict[int, str] = {}
    with progress(description, len(files)) as advance:
        for index in range(len(files)):
            try:
                contents = files.read(index)
                checksums[index] = zlib.crc32(contents)
                height, width, is_grey = read_header(contents, max_pixels)
            except DataError:  # nothing can be read: a store that cannot be reached
                raise
            except UNREADABLE as error:
                skipped[index] = str(error).split("\n")[0] or type(error).__name__
            else:
                sizes[index] = height, width
                upright[index] = contents.startswith(b"\xff\xd8") and _orientation(contents) == 1
                grey = grey and is_grey
            advance(1)
    return Headers(sizes, checksums, upright, grey, skipped)


def read_header(contents: bytes, max_pixels: int) -> tuple[int, int, bool]:
    """Read height and width of an upright image, and whether it is grey.

    They are those of the image that `decode_image` gives. Nothing is unpacked.

    Raises:
        ValueError: with the reason why the file cannot be used.
    """
    read = next((read for mark, read in _READERS.items() if contents.startswith(mark)), None)
    if read is None or (read is _webp and contents[8:12] != b"WEBP"):
        raise ValueError(_why_foreign(contents))
    try:
        height, width, grey = read(contents)
    except (IndexError, struct.error):
        raise ValueError("damaged header (it ends too early)") from None
    if height < 1 or width < 1:
        raise ValueError(f"damaged header ({width} x {height} pixels)")
    if width * height > max_pixels:
        raise ValueError(f"decompression bomb: {width} x {height} is more than {max_pixels} pixels")
    if _orientation(contents) in _TURNED:
        height, width = width, height
    return height, width, grey


def _orientation(contents: bytes) -> int:
    """EXIF orientation, 1 to 8; TensorFlow, which reads it, is imported for files that may have one only."""
    if b"Exif" not in contents and b"eXIf" not in contents and b"EXIF" not in contents:
        return 1
    from kerastricks.data.decoding.exif import orientation_of

    return orientation_of(contents)


def _jpeg(contents: bytes) -> tuple[int, int, bool]:
    """The first frame header; other pictures may follow the first (MPO), which no decoder looks at."""
    position = 2
    while True:
        # As libjpeg resumes after a damaged segment: at the next byte 0xFF that neither fills nor stands for itself.
        position = contents.find(0xFF, position) + 1
        if not position:
            break
        marker = contents[position]
        if marker in _FRAMES:
            bits, height, width, components = struct.unpack_from(">BHHB", contents, position + 3)
            if marker in _FRAMES_NOT_DECODED or bits != 8:
                kind = _FRAMES_NOT_DECODED.get(marker) or f"{bits}-bit"
                raise ValueError(f"{kind} JPEG is not supported: convert it to PNG")
            if contents.count(START_OF_SCAN) >= MAX_SCANS:
                raise ValueError(f"a JPEG with {MAX_SCANS} scans or more is not supported: save it again")
            return height, width, components == 1
        if marker in _ENDS:
            break
        if marker not in _WITHOUT_LENGTH:
            position += 1 + struct.unpack_from(">H", contents, position + 1)[0]
    raise ValueError("damaged header (no frame)")


def _png(contents: bytes) -> tuple[int, int, bool]:
    if contents[12:16] != b"IHDR":
        raise ValueError("damaged header (no IHDR)")
    width, height, _, colour = struct.unpack_from(">IIBB", contents, 16)
    if len(contents) < 33:
        raise IndexError
    return height, width, colour in (0, 4)


def _gif(contents: bytes) -> tuple[int, int, bool]:
    """The canvas, which the first frame may enlarge."""
    canvas_width, canvas_height, flags = struct.unpack_from("<HHB", contents, 6)
    palette, position = _palette(contents, 13, flags)
    extensions = 0
    while contents[position] == 0x21:
        if extensions == MAX_EXTENSIONS:
            raise ValueError(f"a GIF with more than {MAX_EXTENSIONS} extensions is not supported: save it again")
        extensions += 1
        position += 2
        while contents[position]:
            position += 1 + contents[position]
        position += 1
    if contents[position] != 0x2C:
        raise ValueError("damaged header (no frame)")
    left, top, width, height, flags = struct.unpack_from("<HHHHB", contents, position + 1)
    if not width or not height:
        raise ValueError(f"damaged header (a frame of {width} x {height} pixels)")
    palette = _palette(contents, position + 10, flags)[0] or palette
    grey = palette == bytes(index // 3 for index in range(len(palette)))
    return max(canvas_height, top + height), max(canvas_width, left + width), grey


def _palette(contents: bytes, position: int, flags: int) -> tuple[bytes, int]:
    """A GIF's table of colours, if the flags have one, and where it ends."""
    end = position + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    return contents[position:end], end


def _bmp(contents: bytes) -> tuple[int, int, bool]:
    offset, header = struct.unpack_from("<II", contents, 10)
    if header == 12:
        raise ValueError("BMP of OS/2 is not supported: convert it to PNG")
    if header not in BMP_HEADERS:
        raise ValueError("not an image")
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", contents, 18)
    masked = compression == 3 and bits == 32 and struct.unpack_from("<III", contents, 54) == BMP_MASKS
    if compression and not masked:
        kind = {1: "RLE", 2: "RLE", 3: "bit masks", 4: "JPEG inside", 5: "PNG inside"}.get(compression, "compression")
        raise ValueError(f"{bits}-bit BMP with {kind} is not supported: convert it to PNG")
    if bits not in (PALETTE_BITS, 24, 32):
        raise ValueError(f"{bits}-bit BMP is not supported: convert it to PNG")
    if bits == PALETTE_BITS and offset <= 14 + header:
        raise ValueError(f"{bits}-bit BMP without a palette is not supported: convert it to PNG")
    if height < -(2**31) + 1 or width < 0:
        raise ValueError("damaged header (a negative size)")
    palette = contents[14 + header : min(offset, 14 + header + 1024)]
    grey = bits == PALETTE_BITS and palette[0::4] == palette[1::4] == palette[2::4]
    return abs(height), width, grey


def _webp(contents: bytes) -> tuple[int, int, bool]:
    """RFC 9649: the canvas, or the size of the one picture."""
    kind = contents[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(contents[at : at + 3], "little") + 1 for at in (24, 27))
        if len(contents) < 30:
            raise IndexError
    elif kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", contents, 21)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", contents, 26))
    else:
        raise ValueError("damaged header (no picture)")
    return height, width, False


_READERS: dict[bytes, Callable[[bytes], tuple[int, int, bool]]] = {
    b"\xff\xd8\xff": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"RIFF": _webp,
}


def _why_foreign(contents: bytes) -> str:
    if not contents:
        return "empty file"
    for mark, name in _NAMED.items():
        if contents.startswith(mark, 4 if mark.startswith(b"ftyp") else 0):
            return f"{name} is not supported: convert it to JPEG or PNG"
    pillows_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # of no concern: only the name is asked for
    try:
        with Image.open(io.BytesIO(contents)) as image:
            return f"{image.format} is not supported: convert it to JPEG or PNG"
    except Exception:  # Pillow's parsers raise whatever a damaged header makes them
        return "not an image"
    finally:
        Image.MAX_IMAGE_PIXELS = pillows_limit

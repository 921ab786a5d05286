"""Measures of one image: size, format, colours, brightness, sharpness, and the hashes by which copies are found."""

import hashlib
import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from kerastricks.data.sources.headers import read_header
from kerastricks.data_check.thumbnails import perceptual_hash
from kerastricks.errors import first_line

FORMATS = ("array", "JPEG", "PNG", "GIF", "BMP", "WEBP")
COLOURS = ("colour", "grey", "grey stored as colour", "alpha")
GOOD, UNREADABLE = 1, 2  # states of a row; 0 before it was looked at
WORKING_SIDE = 256  # pixels of the longer side at which brightness and sharpness are measured, at most
DIGEST_BYTES = 16
ROW = np.dtype(
    [
        ("state", "u1"),
        ("format", "u1"),
        ("colour", "u1"),
        ("orientation", "u1"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("darkest", "<f4"),
        ("brightest", "<f4"),
        ("sharpness", "<f4"),
        ("digest", f"V{DIGEST_BYTES}"),
    ]
)
_DARK_PERCENTILE, _BRIGHT_PERCENTILE = 1, 99
_NEARLY_GREY = 2  # levels of chroma
_EXIF_ORIENTATION = 0x0112
_END_OF_PNG = b"IEND\xaeB`\x82"
_TAIL = 2048  # bytes in which a whole PNG ends


def measure_contents(contents: bytes, max_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Measure an image file.

    Args:
        contents: its bytes.
        max_pixels: an image of more is a decompression bomb.

    Returns:
        A record of `ROW`, and the perceptual hash.

    Raises:
        ValueError: with the reason why `kerastricks.data.load` leaves the file out.
    """
    height, width, _ = read_header(contents, max_pixels)
    image = decode_upright(contents)
    row, found = _measure(image)
    row["digest"] = np.void(hashlib.blake2b(contents, digest_size=DIGEST_BYTES).digest())
    row["height"], row["width"] = height, width
    return row, found


def measure_pixels(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure a decoded image (height, width, 1 or 3) uint8; see `measure_contents`."""
    row, found = _measure(to_image(pixels))
    row["digest"] = np.void(hashlib.blake2b(pixels.tobytes(), digest_size=DIGEST_BYTES).digest())
    row["height"], row["width"] = pixels.shape[:2]
    return row, found


def to_image(pixels: np.ndarray) -> Image.Image:
    """Convert (height, width, 1 or 3) uint8."""
    grey = pixels.shape[-1] == 1
    image = Image.fromarray(pixels[..., 0] if grey else pixels)
    image.info["colour"] = "grey" if grey else "colour"
    return image


def decode_upright(contents: bytes) -> Image.Image:
    """Decode an image upright, JPEGs perhaps at a fraction of their size, of mode "RGB" or "L"."""
    try:
        image: Image.Image = Image.open(io.BytesIO(contents))
        kind = image.format
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        if kind == "JPEG":
            image.draft(None, (WORKING_SIDE, WORKING_SIDE))
        image.load()
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them
        if "truncated" in str(error).lower():  # training says the same, and TensorFlow takes long to import
            raise ValueError(f"truncated or damaged ({first_line(error)})") from None
        return _decode_as_training(contents)
    # Pillow takes a PNG whose end is missing for a whole one, training does not.
    if kind == "PNG" and _END_OF_PNG not in contents[-_TAIL:]:
        raise ValueError("truncated or damaged (its end is missing)")
    mode, transparent = image.mode, image.has_transparency_data
    if mode.startswith("I"):  # 16 bits
        image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
    elif transparent:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    elif mode not in ("L", "RGB"):
        image = image.convert("L" if mode in ("1", "LA") else "RGB")
    if orientation in range(2, 9) and kind in ("JPEG", "MPO", "PNG", "WEBP"):
        image = ImageOps.exif_transpose(image)
        image.info["orientation"] = orientation
    image.info["kind"] = "JPEG" if kind == "MPO" else kind
    image.info["colour"] = "alpha" if transparent else "grey" if image.mode == "L" else "colour"
    return image


def _decode_as_training(contents: bytes) -> Image.Image:
    """Decode with the decoder of training, which has the last word.

    Raises:
        ValueError: with its reason.
    """
    import tensorflow as tf

    from kerastricks.data.decoding.decode import decode_image
    from kerastricks.data.decoding.pixels import why_refused

    try:
        pixels = decode_image(tf.constant(contents)).numpy()
    except tf.errors.ResourceExhaustedError:
        raise ValueError("more pixels than fit into memory") from None
    except tf.errors.OpError as error:
        raise ValueError(why_refused(contents, error)) from None
    image = Image.fromarray(pixels)
    image.info["colour"] = "colour"
    return image


def _measure(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    info: dict[Any, Any] = image.info
    found = perceptual_hash(image)
    grey = image.convert("L")
    if max(grey.size) > WORKING_SIDE:
        grey.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    counts = np.cumsum(grey.histogram())
    darkest, brightest = np.searchsorted(
        counts, [counts[-1] * _DARK_PERCENTILE / 100, counts[-1] * _BRIGHT_PERCENTILE / 100]
    )
    colour = info.get("colour", "colour")
    if colour == "colour" and _is_grey(image, found):
        colour = "grey stored as colour"
    row = np.zeros((), ROW)
    kind = info.get("kind")
    row["state"], row["orientation"] = GOOD, info.get("orientation", 1)
    row["format"] = FORMATS.index(kind) if kind in FORMATS else 0
    row["colour"] = COLOURS.index(colour)
    row["darkest"], row["brightest"] = darkest, brightest
    row["sharpness"] = sharpness(np.asarray(grey, "float32"))
    return row, found


def _is_grey(image: Image.Image, found: np.ndarray) -> bool:
    if np.abs(found[-32:].astype(int) - 128).max() > _NEARLY_GREY:  # most are not: the hash is enough to see it
        return False
    small = image.resize((min(image.width, 64), min(image.height, 64)), Image.Resampling.NEAREST)
    pixels = np.asarray(small.convert("RGB")).astype(int)
    return bool((pixels.max(axis=-1) - pixels.min(axis=-1)).max() <= 4 * _NEARLY_GREY)


def sharpness(grey: np.ndarray) -> float:
    """Energy of the second differences of luma, relative to that of the first.

    It hardly depends on contrast and on how many edges there are: about 1 for sharp images, below 0.2 where edges are
    wider than about four pixels.

    Args:
        grey: (height, width) float32, 0 to 255.

    Returns:
        The ratio; infinity for an image without edges or below 3 x 3 pixels.
    """
    if min(grey.shape) < 3:
        return float("inf")
    middle = grey[1:-1, 1:-1]
    up, down, left, right = grey[:-2, 1:-1], grey[2:, 1:-1], grey[1:-1, :-2], grey[1:-1, 2:]
    second = 4 * middle - up - down - left - right
    across, along = right - left, down - up
    first = np.vdot(across, across) + np.vdot(along, along)
    return float(np.vdot(second, second) / first) if first > middle.size * 0.01 else float("inf")

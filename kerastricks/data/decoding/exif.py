"""The EXIF orientation of JPEG, PNG and WebP, in TensorFlow functions only: the one parser for headers and pixels.

In few nodes: TensorFlow's executor visits those of branches not taken too, and a photograph is decoded in the time of
a thousand of them.
"""

from collections.abc import Callable

import tensorflow as tf

_MARK = "Exif\0\0"  # before the block in JPEG, and sometimes in the others
_JFIF = {1: 0xFFE0, 2: 0x0010}
_APP1_EXIF = {0: 0xFFE1, 2: 0x4578, 3: 0x6966, 4: 0}  # words of a segment: its marker, and the mark after its length
_WEBP_HAS_EXIF = 0x08  # among the flags of VP8X
_STEPS = 10_000  # segments or chunks that are looked at: a small file can have millions of empty ones
_LONGEST_BLOCK = 1 << 18  # bytes in several segments of a JPEG; the first directory stands at the beginning
_TO_THE_END = 2**31 - 1  # bytes, as many as there are
# Types of TIFF that hold whole numbers.
_SHORTS, _LONGS, _SIGNED_BYTE = (3, 8), (4, 9), 6


def is_upright_jpeg(contents: bytes) -> bool:
    """Whether these are the bytes of a JPEG that is not to be turned."""
    return contents.startswith(b"\xff\xd8") and orientation_of(contents) == 1


def orientation_of(contents: bytes) -> int:
    """EXIF orientation that `decode_image` corrects: 1 to 8, and 1 where the file does not say.

    Args:
        contents: bytes of a JPEG, PNG or WebP file.
    """
    # Most files have no EXIF block, and to look for its name is faster than to call the function.
    if contents.startswith(b"\xff\xd8"):
        return int(exif_orientation(tf.constant(contents))) if b"Exif\0\0" in contents else 1
    if contents.startswith(b"\x89PNG"):
        return int(png_orientation(tf.constant(contents))) if b"eXIf" in contents else 1
    if contents[8:16] == b"WEBPVP8X" and b"EXIF" in contents:
        return int(webp_orientation(tf.constant(contents)))
    return 1


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def exif_orientation(contents: tf.Tensor) -> tf.Tensor:
    """1 to 8 for a JPEG, 1 where it does not say; 0 for anything else.

    Args:
        contents: scalar string, the file's bytes.
    """
    is_jpeg = _words(contents, 2)[0] == 0xFFD8
    # To look for the mark is faster than to go from segment to segment, and most files have none.
    marked = tf.logical_and(is_jpeg, tf.size(_split(contents, _MARK)) > 1)
    return tf.cond(marked, lambda: _marked_orientation(contents), lambda: tf.cast(is_jpeg, tf.int32))


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def png_orientation(contents: tf.Tensor) -> tf.Tensor:
    """1 to 8 from the chunk eXIf, wherever it stands (PNG 3, section 11.3.4.5); 1 where there is none.

    Args:
        contents: scalar string, the file's bytes.
    """
    marked = tf.size(_split(contents, "eXIf")) > 1
    return tf.cond(marked, lambda: _png_orientation(contents), lambda: tf.constant(1))


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def webp_orientation(contents: tf.Tensor) -> tf.Tensor:
    """1 to 8 from the chunk EXIF, if the flags of VP8X name it; 1 where there is none.

    Args:
        contents: scalar string, the file's bytes.
    """
    flags = tf.io.decode_raw(contents, tf.uint8, fixed_length=21)[20]
    extended = tf.logical_and(part(contents, 12, 4) == "VP8X", flags & _WEBP_HAS_EXIF > 0)
    return tf.cond(extended, lambda: _webp_orientation(contents), lambda: tf.constant(1))


# Those that are not inlined are one node of a graph, which the executor visits also where it does not run them.
_apart = tf.function(
    input_signature=[tf.TensorSpec([], tf.string)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)


@_apart
def _marked_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Orientation of a JPEG with the mark: cameras write one block, first or after a JFIF header of 16 bytes."""
    words = _words(part(contents, 0, 30), 30)
    first = _matches(words[1:], _APP1_EXIF)
    second = tf.logical_and(_matches(words, _JFIF), _matches(words[10:], _APP1_EXIF))
    only = tf.size(_split(contents, _MARK, 2)) == 2
    block = part(contents, tf.where(first, 12, 30), tf.maximum(tf.where(first, words[2], words[11]) - 8, 0))
    return tf.cond(
        tf.logical_and(only, tf.logical_or(first, second)),
        lambda: _tiff_orientation(block),
        lambda: _jpeg_orientation(contents),
    )


@_apart
def _jpeg_orientation(contents: tf.Tensor) -> tf.Tensor:
    """EXIF 2.32, section 4.5: segments APP1 with "Exif\\0\\0" before the picture; several are one block, in parts.

    Any number of bytes 0xFF may fill the space before a marker (ITU-R T.81, B.1.1.2); other bytes between segments are
    skipped, as decoders do.
    """
    end = tf.strings.length(contents)

    def step(position: tf.Tensor, block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        segment = _words(part(contents, position, 10), 10)
        marker, length = segment[0], segment[1]
        is_marker = tf.logical_and(marker > 0xFF01, marker < 0xFFFF)
        without_length = tf.logical_and(marker >= 0xFFD0, marker <= 0xFFD7)
        over = tf.logical_and(marker >= 0xFFD8, marker <= 0xFFDA)  # the picture begins or ends
        is_exif = tf.logical_and(_matches(segment, _APP1_EXIF), tf.strings.length(block) < _LONGEST_BLOCK)
        block = tf.cond(
            is_exif,
            lambda: tf.strings.join([block, part(contents, position + 10, tf.maximum(length - 8, 0))]),
            lambda: block,
        )
        following = position + tf.where(is_marker, 2 + tf.where(without_length, 0, length), 1)
        return tf.where(over, end, following), block

    return _tiff_orientation(_gathered(step, 2, end))


@_apart
def _png_orientation(contents: tf.Tensor) -> tf.Tensor:
    end = tf.strings.length(contents)

    def step(position: tf.Tensor, block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        start = part(contents, position, 8)
        length = _number(start, little_endian=False)
        kind = part(start, 4, 4)
        left = end - position - 12
        over = tf.reduce_any([length < 0, length > left, kind == "IEND"])
        block = tf.cond(
            tf.logical_and(kind == "eXIf", tf.logical_not(over)),
            lambda: part(contents, position + 8, length),
            lambda: block,
        )
        return tf.where(over, end, position + 12 + tf.clip_by_value(length, 0, tf.maximum(left, 0))), block

    return _tiff_orientation(_gathered(step, 8, end))


@_apart
def _webp_orientation(contents: tf.Tensor) -> tf.Tensor:
    """RFC 9649: chunks of an even length, each after its name and size."""
    end = tf.strings.length(contents)

    def step(position: tf.Tensor, block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        start = part(contents, position, 8)
        length = _number(part(start, 4, 4), little_endian=True)
        left = end - position - 8
        over = tf.logical_or(length < 0, length > left)
        found = tf.logical_and(part(start, 0, 4) == "EXIF", tf.logical_not(over))
        block = tf.cond(found, lambda: part(contents, position + 8, length), lambda: block)
        following = position + 8 + tf.clip_by_value(length, 0, tf.maximum(left, 0))
        return tf.where(tf.logical_or(over, found), end, following + following % 2), block

    return _tiff_orientation(_gathered(step, 12, end))


def _gathered(
    step: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]], start: int, end: tf.Tensor
) -> tf.Tensor:
    """The block that steps over segments or chunks gather: each gives the next position, and the block so far."""
    first = (tf.constant(start), tf.constant(""))
    return tf.while_loop(lambda position, block: position < end, step, first, maximum_iterations=_STEPS)[1]


def _tiff_orientation(block: tf.Tensor) -> tf.Tensor:
    """The first tag 0x0112 of the first directory, where it is a whole number from 1 to 8; else 1."""
    marked = part(block, 0, len(_MARK)) == tf.constant(_MARK)
    block = part(block, tf.where(marked, len(_MARK), 0), _TO_THE_END)
    header = _words(part(block, 0, 8), 8)
    little_endian = header[0] == 0x4949  # "II"; else "MM"
    is_tiff = tf.reduce_any(tf.reduce_all(header[:2] == [[0x4949, 0x2A00], [0x4D4D, 0x002A]], axis=1))

    def number(words: tf.Tensor) -> tf.Tensor:
        return tf.where(little_endian, (words & 0xFF) * 256 + words // 256, words)

    def long(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Number of four bytes from two words; something large where it has more than 24 bits."""
        high, low = tf.where(little_endian, second, first), tf.where(little_endian, first, second)
        return tf.minimum(high, 0xFF) * 0x10000 + low

    directory = part(block, long(number(header[2]), number(header[3])), _TO_THE_END)
    promised = number(_words(part(directory, 0, 2), 2))[0]
    whole = tf.minimum(promised, (tf.strings.length(directory) - 2) // 12)
    # One entry of zeros where there is none.
    rows = tf.maximum(whole, 1)
    words = tf.io.decode_raw(
        part(directory, 2, 12 * tf.maximum(whole, 0)), tf.uint16, little_endian=False, fixed_length=12 * rows
    )
    entries = tf.reshape(number(tf.cast(words, tf.int32)), [rows, 6])
    entry = entries[tf.argmax(entries[:, 0] == 0x0112)]
    kind, count, word = entry[1], long(entry[2], entry[3]), entry[4]
    # What has more numbers than fit into four bytes has them elsewhere.
    byte = tf.where(little_endian, word & 0xFF, word // 256)
    values = [(_SHORTS, 2, word), (_LONGS, 1, long(word, entry[5])), ((_SIGNED_BYTE,), 4, byte)]
    found = tf.constant(0)
    for kinds, most, value in values:
        fits = tf.logical_and(count >= 1, count <= most)
        found = tf.where(tf.logical_and(tf.reduce_any(kind == kinds), fits), value, found)
    legal = tf.reduce_all([is_tiff, entry[0] == 0x0112, found >= 1, found <= 8])
    return tf.where(legal, found, 1)


def part(contents: tf.Tensor, start: int | tf.Tensor, length: int | tf.Tensor) -> tf.Tensor:
    """Bytes of a string, fewer where it ends before them.

    `tf.strings.substr` by itself raises then, with a message that has the bytes in it; they need not be UTF-8.
    """
    return tf.strings.substr(contents, tf.minimum(start, tf.strings.length(contents)), length)


def _split(contents: tf.Tensor, mark: str, most: int = 1) -> tf.Tensor:
    """The bytes before, between and after the first `most` times of `mark`."""
    return tf.raw_ops.StringSplitV2(input=contents[None], sep=mark, maxsplit=most).values


def _number(contents: tf.Tensor, little_endian: bool) -> tf.Tensor:
    """The first four bytes as int32; zeros after the end."""
    return tf.io.decode_raw(part(contents, 0, 4), tf.int32, little_endian=little_endian, fixed_length=4)[0]


def _words(contents: tf.Tensor, length: int) -> tf.Tensor:
    """The first bytes as 16-bit numbers, high byte first; zeros after the end."""
    return tf.cast(tf.io.decode_raw(contents, tf.uint16, little_endian=False, fixed_length=length), tf.int32)


def _matches(words: tf.Tensor, expected: dict[int, int]) -> tf.Tensor:
    return tf.reduce_all(tf.gather(words, list(expected)) == list(expected.values()))

"""The EXIF orientation of JPEG, PNG and WebP, in TensorFlow functions only: the one parser for headers and pixels.

In few nodes: TensorFlow's executor visits those of branches not taken too, and a photograph is decoded in the time of
a thousand of them.
"""

import tensorflow as tf

_DIRECTORY_ENTRIES = 256  # of the first directory that are read
_PLAIN = {0: 0xFFD8, 1: 0xFFE0, 2: 0x0010, 10: 0xFFDB}  # a JFIF header of 16 bytes, and then the first table
_EXIF = {0: 0xFFE1, 2: 0x4578, 3: 0x6966, 4: 0}  # APP1, "Exif\0\0"
_WEBP_HAS_EXIF = 0x08  # among the flags of VP8X


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
    words = _words(contents, 22)
    return tf.cond(_matches(words, _PLAIN), lambda: tf.constant(1), lambda: _search(contents, words[0] == 0xFFD8))


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def png_orientation(contents: tf.Tensor) -> tf.Tensor:
    """1 to 8 from the chunk eXIf, wherever it stands (PNG 3, section 11.3.4.5); 1 where there is none.

    Args:
        contents: scalar string, the file's bytes.
    """
    start = _after(contents, "eXIf")
    return tf.cond(
        start < tf.strings.length(contents),
        lambda: _legal(_tiff_orientation_apart(contents, start)),
        lambda: tf.constant(1),
    )


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def webp_orientation(contents: tf.Tensor) -> tf.Tensor:
    """1 to 8 from the chunk EXIF, if the flags of VP8X name it; 1 where there is none.

    Args:
        contents: scalar string, the file's bytes.
    """
    flags = tf.io.decode_raw(contents, tf.uint8, fixed_length=21)[20]
    extended = tf.logical_and(part(contents, 12, 4) == "VP8X", flags & _WEBP_HAS_EXIF > 0)

    def search() -> tf.Tensor:
        start = tf.minimum(_after(contents, "EXIF") + 4, tf.strings.length(contents))  # 4 bytes for its size
        prefixed = _words(part(contents, start, 6), 6)[0] == 0x4578  # "Exif\0\0", as JPEG has it
        return _legal(_tiff_orientation(contents, start + tf.where(prefixed, 6, 0)))

    return tf.cond(extended, search, lambda: tf.constant(1))


def _search(contents: tf.Tensor, is_jpeg: tf.Tensor) -> tf.Tensor:
    """EXIF 2.32, section 4.5: segment APP1, "Exif\\0\\0", a TIFF header, and in its first directory tag 0x0112.

    The segments before the tables are looked at; any number of bytes 0xFF may fill the space before a marker (ITU-R
    T.81, B.1.1.2).
    """
    end = tf.where(is_jpeg, tf.strings.length(contents), 0)

    def unfinished(position: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        return tf.logical_and(position < end, found == 0)

    def step(position: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        segment = _words(tf.strings.substr(contents, position, 10), 10)
        in_headers = tf.logical_or(segment[0] & 0xFFF0 == 0xFFE0, segment[0] == 0xFFFE)
        found = tf.cond(_matches(segment, _EXIF), lambda: _tiff_orientation(contents, position + 10), lambda: found)
        following = tf.where(in_headers, position + 2 + segment[1], end)
        return tf.where(segment[0] == 0xFFFF, position + 1, following), found

    return tf.where(is_jpeg, _legal(tf.while_loop(unfinished, step, (tf.constant(2), tf.constant(0)))[1]), 0)


def _tiff_orientation(contents: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Tag 0x0112 of the first directory, one whole number of 2 or 4 bytes; or 0."""
    header = _words(part(contents, start, 8), 8)
    little_endian = header[0] == 0x4949  # "II"; else "MM"
    is_tiff = tf.reduce_any(tf.reduce_all(header[:2] == [[0x4949, 0x2A00], [0x4D4D, 0x002A]], axis=1))

    def number(words: tf.Tensor) -> tf.Tensor:
        return tf.where(little_endian, (words & 0xFF) * 256 + words // 256, words)

    def long(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Number of four bytes from two words; something large where it has more than 24 bits."""
        high, low = tf.where(little_endian, second, first), tf.where(little_endian, first, second)
        return tf.minimum(high, 0xFF) * 0x10000 + low

    offset = long(number(header[2]), number(header[3]))
    directory = part(contents, start + offset, 2 + 12 * _DIRECTORY_ENTRIES)
    words = number(_words(directory, 2 + 12 * _DIRECTORY_ENTRIES))
    entries = tf.reshape(words[1:], [_DIRECTORY_ENTRIES, 6])[: words[0]]
    tag, kind, value = entries[:, 0], entries[:, 1], long(entries[:, 4], entries[:, 5])
    short, whole = tf.logical_or(kind == 3, kind == 8), tf.logical_or(kind == 4, kind == 9)
    value = tf.where(short, entries[:, 4], tf.where(whole, value, 0))
    one = tf.logical_and(tag == 0x0112, long(entries[:, 2], entries[:, 3]) == 1)
    return tf.maximum(tf.reduce_max(tf.where(tf.logical_and(one, is_tiff), value, 0)), 0)  # 0 where it is empty, too


# Not inlined, for the executor's sake.
_tiff_orientation_apart = tf.function(
    _tiff_orientation,
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)


def _legal(found: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.logical_and(found >= 1, found <= 8), found, 1)


def part(contents: tf.Tensor, start: int | tf.Tensor, length: int | tf.Tensor) -> tf.Tensor:
    """Bytes of a string, fewer where it ends before them.

    `tf.strings.substr` by itself raises then, with a message that has the bytes in it; they need not be UTF-8.
    """
    return tf.strings.substr(contents, tf.minimum(start, tf.strings.length(contents)), length)


def _after(contents: tf.Tensor, mark: str) -> tf.Tensor:
    """Where the bytes after the first `mark` begin; the end where there is none."""
    before = tf.raw_ops.StringSplitV2(input=contents[None], sep=mark, maxsplit=1).values[0]
    return tf.minimum(tf.strings.length(before) + len(mark), tf.strings.length(contents))


def _words(contents: tf.Tensor, length: int) -> tf.Tensor:
    """The first bytes as 16-bit numbers, high byte first; zeros after the end."""
    return tf.cast(tf.io.decode_raw(contents, tf.uint16, little_endian=False, fixed_length=length), tf.int32)


def _matches(words: tf.Tensor, expected: dict[int, int]) -> tf.Tensor:
    return tf.reduce_all(tf.gather(words, list(expected)) == list(expected.values()))

"""Decode and fit images, in TensorFlow functions only.

Training, evaluation and the exported model call the same two functions, so that they see the same pixels.

Files come from strangers: no path may reach a decoder with bytes that it does not survive, also inside of a SavedModel,
where nobody looks at them before.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from kerastricks.data.decoding.exif import exif_orientation, part, png_orientation, webp_orientation
from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.data.sources.headers import (
    BMP_HEADERS,
    BMP_MASKS,
    MAX_EXTENSIONS,
    MAX_PIXELS,
    MAX_SCANS,
    PALETTE_BITS,
    START_OF_SCAN,
)

_WEBP_ALPHA, _WEBP_ANIMATED = 0x10, 0x02  # among the flags of VP8X
_PNG = 0  # of the formats that `_format` tells
_TO_THE_END = 2**31 - 1  # bytes, as many as there are
_BLOCK_JUMP = 3  # 2^3 blocks of a GIF are skipped at once, in large files more
_BLOCK_JUMPS = 1 << 17  # at most, for a file of nothing but the smallest blocks
# Of the pixels that a file becomes, for the keys of caches: another number where they change. 2 decodes JPEG exactly.
DECODER = 2

# By EXIF orientation, after rows and columns were exchanged where it is 5 to 8: upside down? mirrored?
_FLIPPED = [(n in (3, 4, 7, 8), n in (2, 3, 6, 7), False) for n in range(9)]


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode_image(contents: tf.Tensor) -> tf.Tensor:
    """Decodes JPEG, PNG, GIF, BMP or WebP into upright RGB; of an animation its first frame.

    JPEG is decoded exactly: to the bytes that Pillow gives, by the accurate DCT, where TensorFlow's default is the fast
    one (off by 1 of 255 in the mean and by up to 8). Grey becomes RGB, CMYK is converted, transparency of PNG and WebP
    is laid over white, 16-bit PNG is reduced to 8 bits, and JPEG, PNG and WebP are turned as their EXIF orientation
    says (`tf.io.decode_image` ignores it). A GIF has the size of its canvas, black where it is transparent or the frame
    does not reach. A BMP has 8 bits with a palette, 24 or 32 bits and no compression; its fourth channel is ignored.

    Args:
        contents: scalar string, the file's bytes.

    Returns:
        uint8 (height, width, 3).

    Raises:
        tf.errors.InvalidArgumentError: for bytes that are no whole image, or one of a kind that is not supported.
    """
    orientation = exif_orientation(contents)
    image = tf.cond(orientation > 0, lambda: _jpeg(contents), lambda: _no_jpeg(contents))
    image = _turned(image, orientation)
    image.set_shape([None, None, 3])
    return image


def refuse_large(contents: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Refuse the contents of a file that would take very long or much memory to decode; others pass unchanged.

    Its header announces too many pixels, or it is a JPEG with an absurd number of scans.

    Args:
        contents: scalar string, the file's bytes.
        max_pixels: the most that the image may have.

    Returns:
        `contents`; nothing that uses them runs before they were looked at.

    Raises:
        tf.errors.InvalidArgumentError: for an image of more pixels or scans, or a damaged header.
    """
    is_jpeg = tf.strings.substr(contents, 0, 2) == b"\xff\xd8"
    parts = tf.raw_ops.StringSplitV2(input=contents[None], sep=tf.constant(START_OF_SCAN), maxsplit=MAX_SCANS).values
    few_scans = tf.logical_or(tf.logical_not(is_jpeg), tf.size(parts) <= MAX_SCANS)
    contents = _checked(contents, few_scans, f"JPEG with {MAX_SCANS} scans or more")
    pixels = tf.cond(
        is_jpeg,
        lambda: tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.int64)),
        lambda: _pixels_without_jpeg(contents),
    )
    return _checked(contents, pixels <= max_pixels, f"decompression bomb: more than {max_pixels} pixels")


def fit_image(image: tf.Tensor, height: int, width: int, channels: int, fitting: Fitting = WHOLE) -> tf.Tensor:
    """Crop the largest centred box of the target's shape, or a part of it, and resize it with antialiasing.

    An image that has the target's size stays as it is, unless a part of it is asked for.

    Args:
        image: uint8 (height, width, 3).
        height: height of the result in pixels.
        width: width of the result in pixels.
        channels: 3, or 1 for luma (ITU-R BT.601).
        fitting: part of the image that is kept, and how it is resized.

    Returns:
        uint8 (height, width, channels).
    """
    if fitting.crop_fraction < 1:
        image = _crop_and_resize(image, height, width, fitting)
    else:
        size = tf.shape(image)
        same = tf.logical_and(size[0] == height, size[1] == width)
        image = tf.cond(same, lambda: image, lambda: _crop_and_resize(image, height, width, fitting))
    image.set_shape([height, width, 3])
    if channels == 1:
        image = to_luma(image)
    return image


def to_luma(image: tf.Tensor) -> tf.Tensor:
    """Convert to luma (ITU-R BT.601): uint8 (height, width, 3) to (height, width, 1)."""
    luma = tf.tensordot(tf.cast(image, tf.float32), tf.constant([0.299, 0.587, 0.114]), axes=1)
    return tf.cast(tf.round(luma), tf.uint8)[..., None]


def _crop_and_resize(image: tf.Tensor, height: int, width: int, fitting: Fitting) -> tf.Tensor:
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.minimum(size[0] / height, size[1] / width) * fitting.crop_fraction
    box = tf.maximum(tf.cast(tf.round([height * scale, width * scale]), tf.int32), 1)
    top = (tf.shape(image)[0] - box[0]) // 2
    left = (tf.shape(image)[1] - box[1]) // 2
    cropped = image[top : top + box[0], left : left + box[1]]
    resized = tf.image.resize(cropped, (height, width), fitting.interpolation, antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def _jpeg(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def with_alpha_flag(contents: bytes) -> bytes:
    """An animated WebP whose header says that it has alpha; anything else as it is.

    For SavedModels that were written before `decode_image` saw to it by itself.
    """
    if contents[:4] + contents[8:16] == b"RIFFWEBPVP8X" and contents[20:21] and contents[20] & _WEBP_ANIMATED:
        return contents[:20] + bytes([contents[20] | _WEBP_ALPHA]) + contents[21:]
    return contents


# Those that are not inlined are one node of a graph, where JPEGs are decoded by another branch: the executor visits
# the nodes of branches not taken, too.
def _apart(function: Callable[[tf.Tensor], tf.Tensor]) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(
        function,
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


@_apart
def _no_jpeg(contents: tf.Tensor) -> tf.Tensor:
    kind = _format(contents)
    return tf.cond(kind == _PNG, lambda: _png(contents), lambda: _neither_jpeg_nor_png(contents))


@_apart
def _neither_jpeg_nor_png(contents: tf.Tensor) -> tf.Tensor:
    branches = [_unknown, _gif, _bmp, _webp, _unknown]
    return tf.switch_case(_format(contents), [functools.partial(branch, contents) for branch in branches])


@_apart
def _pixels_without_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Number of pixels that the header announces, int64."""
    sides = tf.io.decode_raw(part(contents, 16, 8), tf.int32, little_endian=False, fixed_length=8)
    is_png = _format(contents) == _PNG
    return tf.cond(is_png, lambda: _product(sides), lambda: _pixels_with_neither(contents))


@_apart
def _pixels_with_neither(contents: tf.Tensor) -> tf.Tensor:
    def gif() -> tf.Tensor:
        return _product(tf.io.decode_raw(part(contents, 6, 4), tf.uint16, fixed_length=4))

    def bmp() -> tf.Tensor:
        return _product(_little_words(contents, 18, 2))

    def webp() -> tf.Tensor:
        # No other kind of WebP can be larger than 16,383 x 16,383, and those are no larger than their canvas.
        sides = tf.cast(tf.io.decode_raw(part(contents, 24, 6), tf.uint8, fixed_length=6), tf.int64)
        sides = tf.reduce_sum(tf.reshape(sides, [2, 3]) * [1, 256, 65536], axis=1) + 1
        extended = part(contents, 12, 4) == "VP8X"
        return tf.where(extended, tf.reduce_prod(sides), 0)

    def unknown() -> tf.Tensor:
        return tf.constant(0, tf.int64)

    return tf.switch_case(_format(contents), [unknown, gif, bmp, webp, unknown])


def _product(sides: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.abs(tf.cast(sides, tf.int64)))


def _format(contents: tf.Tensor) -> tf.Tensor:
    """Index of the format: PNG, GIF, BMP, WebP, or none of them."""
    words = tf.io.decode_raw(contents, tf.uint16, little_endian=False, fixed_length=12)
    words = tf.cast(words, tf.int32)
    png = tf.reduce_all(words[:4] == [0x8950, 0x4E47, 0x0D0A, 0x1A0A])
    gif = tf.reduce_all(words[:2] == [0x4749, 0x4638])
    webp = tf.reduce_all(tf.gather(words, [0, 1, 4, 5]) == [0x5249, 0x4646, 0x5745, 0x4250])
    return tf.argmax(tf.stack([png, gif, words[0] == 0x424D, webp, tf.constant(True)]), output_type=tf.int32)


def _unknown(contents: tf.Tensor) -> tf.Tensor:
    nothing = tf.zeros([0, 0, 3], tf.uint8)
    return _checked(nothing, tf.constant(False), "not an image: JPEG, PNG, GIF, BMP or WebP are supported")


def _png(contents: tf.Tensor) -> tf.Tensor:
    rgba = tf.io.decode_png(contents, channels=4)
    # Where a PNG has no alpha, TensorFlow fills in the largest sample of its bits: 255 only where it has 8 or more.
    bits = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=25)[24], tf.int32)
    filled = tf.gather(tf.constant([2**n - 1 for n in range(9)], tf.uint8), tf.minimum(bits, 8))
    opaque = tf.reduce_all(rgba[..., 3] == filled)
    image = tf.cond(opaque, lambda: rgba[..., :3], lambda: _over_white(rgba))
    return _turned(image, png_orientation(contents))


@_apart
def _webp(contents: tf.Tensor) -> tf.Tensor:
    """WebP is decoded with the channels it has: TensorFlow refuses to add or drop alpha.

    An animation is always decoded with four channels. TensorFlow 2.21 writes them into memory for three where the flags
    of VP8X have no alpha, beyond its end: the flag is set before.
    """
    flags = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=21)[20], tf.int32)
    extended = part(contents, 12, 4) == "VP8X"
    animated = tf.logical_and(extended, tf.bitwise.bitwise_and(flags, _WEBP_ANIMATED) > 0)

    def with_alpha() -> tf.Tensor:
        flag = tf.gather([bytes([n | _WEBP_ALPHA]) for n in range(256)], flags)
        return tf.strings.join([tf.strings.substr(contents, 0, 20), flag, part(contents, 21, _TO_THE_END)])

    contents = tf.cond(animated, with_alpha, lambda: contents)
    image = tf.io.decode_image(contents, channels=0, expand_animations=False)
    has_alpha = tf.shape(image)[-1] == 4
    image = tf.cond(has_alpha, lambda: _over_white(tf.ensure_shape(image, [None, None, 4])), lambda: image[..., :3])
    return _turned(image, webp_orientation(contents))


@_apart
def _bmp(contents: tf.Tensor) -> tf.Tensor:
    """TensorFlow takes each byte of a palette's BMP for a grey level, and knows no compression and no masks."""
    words = _little_words(contents, 10, 14)
    offset, header, width, height, compression = words[0], words[1], words[2], words[3], words[5]
    bits = tf.bitwise.right_shift(words[4], 16)
    plain = tf.logical_and(compression == 0, tf.reduce_any(bits == [PALETTE_BITS, 24, 32]))
    masked = tf.reduce_all(tf.concat([[compression, bits], words[11:]], 0) == [3, 32, *BMP_MASKS])
    has_palette = tf.logical_or(bits != PALETTE_BITS, offset > header + 14)
    known = tf.reduce_all([tf.reduce_any(header == BMP_HEADERS), has_palette, tf.logical_or(plain, masked)])
    # Bytes after the pixels, which some programs write, are refused by the decoder.
    row, rows = (tf.cast(bits // 8 * width, tf.int64) + 3) // 4 * 4, tf.abs(tf.cast(height, tf.int64))
    needed = tf.cast(offset, tf.int64) + row * rows
    contents = _checked(contents, known, "BMP of a kind that is not supported")
    contents = tf.strings.substr(contents, tf.constant(0, tf.int64), tf.maximum(needed, 0))

    def coloured() -> tf.Tensor:
        start = tf.minimum(header, tf.strings.length(contents)) + 14
        entries = part(contents, start, tf.clip_by_value(offset - start, 0, 1024))
        palette = tf.reshape(tf.io.decode_raw(entries, tf.uint8, fixed_length=1024), [256, 4])
        index = tf.io.decode_bmp(contents, channels=0)[..., 0]
        return tf.gather(tf.reverse(palette[:, :3], [1]), tf.cast(index, tf.int32))

    return tf.cond(bits == PALETTE_BITS, coloured, lambda: tf.io.decode_bmp(contents, channels=3))


@_apart
def _gif(contents: tf.Tensor) -> tf.Tensor:
    """The first frame, where it stands on the canvas.

    TensorFlow unpacks all frames, and gives the first one its own size and not the canvas's: what comes after it is cut
    off, and its position is set to 0.
    """
    frame, end, (top, left, height, width), canvas = _gif_layout(contents)
    parts = [
        tf.strings.substr(contents, 0, frame + 1),
        tf.constant(bytes(4)),
        part(contents, frame + 5, end - frame - 5),
        tf.constant(b";"),
    ]
    image = tf.io.decode_image(tf.strings.join(parts), channels=3, expand_animations=False)
    below, right = canvas[0] - top - height, canvas[1] - left - width
    return tf.pad(image, [[top, below], [left, right], [0, 0]])


def _gif_layout(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
    """GIF 89a: where the first image descriptor and the byte after its data are, its box, and the canvas.

    The canvas is enlarged where the frame reaches beyond it, as other programs do.
    """
    # With zeros at the end, so that none of what follows reads beyond it.
    padded = tf.strings.length(contents) + 16
    levels = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=padded), tf.int32)
    last = tf.size(levels) - 1
    # From the length of each data sub-block to that of the next one; a length of 0 ends them.
    chain = tf.where(levels == 0, tf.range(last + 1), tf.minimum(tf.range(last + 1) + levels + 1, last))
    for _ in range(_BLOCK_JUMP):
        chain = tf.gather(chain, chain)
    chain = tf.while_loop(
        lambda doubled, reach: reach < padded // 2,
        lambda doubled, reach: (tf.gather(doubled, doubled), 2 * reach),
        [chain, tf.constant(_BLOCK_JUMPS << _BLOCK_JUMP)],
    )[0]

    def after_blocks(position: tf.Tensor) -> tf.Tensor:
        start = tf.minimum(position, last)
        following = tf.while_loop(lambda at: chain[at] != at, lambda at: (chain[at],), [start])[0]
        return tf.minimum(following + 1, last)

    def after_table(position: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
        entries = tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
        return position + tf.where(flags >= 0x80, 3 * entries, 0)

    def word(position: tf.Tensor) -> tf.Tensor:
        return levels[position] + 256 * levels[position + 1]

    frame = tf.minimum(after_table(tf.constant(13), levels[10]), last)
    frame = tf.while_loop(
        lambda at: levels[at] == 0x21, lambda at: (after_blocks(at + 2),), [frame], maximum_iterations=MAX_EXTENSIONS
    )[0]
    frame = tf.minimum(frame, last - 15)
    left, top, width, height = (word(frame + n) for n in (1, 3, 5, 7))
    end = after_blocks(after_table(frame + 10, levels[frame + 9]) + 1)
    canvas = [tf.maximum(word(8), top + height), tf.maximum(word(6), left + width)]
    # Who limits sizes has seen the canvas's.
    large = _product(tf.stack(canvas)) > tf.maximum(_product(tf.stack([word(6), word(8)])), MAX_PIXELS)
    whole = tf.reduce_all([levels[frame] == 0x2C, width > 0, height > 0, tf.logical_not(large)])
    return _checked(frame, whole, "GIF without a frame"), end, [top, left, height, width], canvas


def _little_words(contents: tf.Tensor, start: int, count: int) -> tf.Tensor:
    """int32, low byte first; zeros after the end."""
    return tf.io.decode_raw(part(contents, start, 4 * count), tf.int32, fixed_length=4 * count)


def _checked(value: tf.Tensor, condition: tf.Tensor, message: str) -> tf.Tensor:
    """The value, after the condition was seen to hold."""
    with tf.control_dependencies([tf.raw_ops.Assert(condition=condition, data=[message])]):
        return tf.identity(value)


def _over_white(rgba: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(rgba, tf.float32)
    alpha = pixels[..., 3:] / 255.0
    return tf.cast(tf.round(pixels[..., :3] * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    return tf.cond(orientation > 1, lambda: _upright(image, orientation), lambda: image)


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """EXIF 2 to 8 as a transposition and two flips."""
    axes = tf.where(orientation >= 5, [1, 0, 2], [0, 1, 2])
    return tf.raw_ops.Reverse(tensor=tf.transpose(image, axes), dims=tf.gather(_FLIPPED, orientation))

"""Encoded images to pixels, in TensorFlow functions alone.

Training, evaluation and the exported model call the same two functions, so that they see the same pixels.
"""

import tensorflow as tf

_HEAD_BYTES = 160_000  # an APP1 segment has at most 64 KiB, and little stands before it


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode_image(contents: tf.Tensor) -> tf.Tensor:
    """Decodes JPEG, PNG, GIF (its first frame), BMP or WebP into upright RGB.

    Grey becomes RGB, CMYK is converted, transparency of PNG and WebP is laid over white, 16-bit PNG is reduced to 8
    bits and a JPEG is turned as its EXIF orientation says (`tf.io.decode_image` ignores it).

    Args:
        contents: scalar string, the file's bytes.

    Returns:
        uint8 (height, width, 3).

    Raises:
        tf.errors.InvalidArgumentError: for bytes that are no whole image.
    """
    head = tf.io.decode_raw(tf.strings.substr(contents, 0, _HEAD_BYTES), tf.uint8)
    is_png = tf.strings.substr(contents, 1, 3) == "PNG"
    is_webp = tf.strings.substr(contents, 8, 4) == "WEBP"
    image = tf.cond(
        is_png,
        lambda: _png(contents, head),
        lambda: tf.cond(is_webp, lambda: _webp(contents), lambda: _rgb(contents)),
    )
    orientation = _exif_orientation(head)
    image = tf.cond(orientation > 1, lambda: _upright(image, orientation), lambda: image)
    image.set_shape([None, None, 3])
    return image


def fit_image(image: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """The largest centred box of the target's shape, resized (bilinear, antialiased).

    Args:
        image: uint8 (height, width, 3).
        height: of the result, in pixels.
        width: of the result, in pixels.
        channels: 3, or 1 for luma (ITU-R BT.601).

    Returns:
        uint8 (height, width, channels).
    """
    size = tf.shape(image)
    same = tf.logical_and(size[0] == height, size[1] == width)
    image = tf.cond(same, lambda: image, lambda: _crop_and_resize(image, height, width))
    image.set_shape([height, width, 3])
    if channels == 1:
        luma = tf.tensordot(tf.cast(image, tf.float32), tf.constant([0.299, 0.587, 0.114]), axes=1)
        image = tf.cast(tf.round(luma), tf.uint8)[..., None]
    return image


def _crop_and_resize(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.minimum(size[0] / height, size[1] / width)
    box = tf.maximum(tf.cast(tf.round([height * scale, width * scale]), tf.int32), 1)
    top = (tf.shape(image)[0] - box[0]) // 2
    left = (tf.shape(image)[1] - box[1]) // 2
    cropped = image[top : top + box[0], left : left + box[1]]
    resized = tf.image.resize(cropped, (height, width), antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def _rgb(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def _png(contents: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    rgba = tf.io.decode_png(contents, channels=4)
    # Where a PNG of less than 8 bits has no alpha, TensorFlow fills in its largest sample and not 255.
    filled = tf.bitwise.left_shift(tf.constant(1, tf.uint8), tf.minimum(head[24], 7)) - 1
    opaque = tf.logical_and(head[24] < 8, tf.reduce_all(rgba[..., 3] == filled))
    return tf.cond(opaque, lambda: rgba[..., :3], lambda: _over_white(rgba))


def _webp(contents: tf.Tensor) -> tf.Tensor:
    """WebP is decoded with the channels it has: TensorFlow refuses to add or drop alpha."""
    image = tf.io.decode_image(contents, channels=0, expand_animations=False)
    has_alpha = tf.shape(image)[-1] == 4
    return tf.cond(has_alpha, lambda: _over_white(tf.ensure_shape(image, [None, None, 4])), lambda: image[..., :3])


def _over_white(rgba: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(rgba, tf.float32)
    alpha = pixels[..., 3:] / 255.0
    return tf.cast(tf.round(pixels[..., :3] * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """EXIF 2 to 8 as a transposition and two flips."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    image = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    return tf.cond(upside_down, lambda: tf.reverse(image, [0]), lambda: image)


def _exif_orientation(head: tf.Tensor) -> tf.Tensor:
    """1 to 8 from the first bytes of a JPEG; 1 for anything else.

    EXIF 2.32, section 4.5: segment APP1, "Exif\\0\\0", a TIFF header, and in its first directory tag 0x0112.
    """
    length = tf.size(head)
    one = tf.constant(1)

    def byte(position: tf.Tensor) -> tf.Tensor:
        """0 outside: a damaged header must not stop the image from being read."""
        inside = tf.logical_and(position >= 0, position < length)
        return tf.where(inside, tf.cast(head[tf.clip_by_value(position, 0, length - 1)], tf.int32), 0)

    def search() -> tf.Tensor:
        def in_headers(position: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
            marker = byte(position + 1)
            header = tf.logical_or(tf.logical_and(marker >= 0xE0, marker <= 0xEF), marker == 0xFE)
            here = tf.logical_and(position < length, byte(position) == 0xFF)
            return tf.reduce_all([found == 0, header, here])

        def step(position: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            is_exif = tf.reduce_all(
                [byte(position + offset) == value for offset, value in ((1, 0xE1), (4, 0x45), (5, 0x78), (6, 0x69))]
            )
            found = tf.cond(is_exif, lambda: _tiff_orientation(head, position + 10), lambda: found)
            return position + 2 + byte(position + 2) * 256 + byte(position + 3), found

        return tf.while_loop(in_headers, step, (tf.constant(2), tf.constant(0)))[1]

    is_jpeg = tf.logical_and(byte(tf.constant(0)) == 0xFF, byte(one) == 0xD8)
    orientation = tf.cond(is_jpeg, search, lambda: one)
    return tf.where(tf.logical_and(orientation >= 1, orientation <= 8), orientation, 1)


def _tiff_orientation(head: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Tag 0x0112 of the first directory, or 0."""
    tiff = tf.concat([tf.cast(head[start:], tf.int32), tf.zeros([16], tf.int32)], 0)
    little_endian = tiff[0] == 0x49

    def number(values: tf.Tensor) -> tf.Tensor:
        """Big-endian by TIFF's "MM"; reversed where the file is little-endian."""
        return tf.reduce_sum(tf.where(little_endian, tf.reverse(values, [-1]), values) * [256, 1], axis=-1)

    # An offset above 65535 would lie outside the segment: its lower half is all there is to read.
    low_half = tf.where(little_endian, tiff[4:6], tiff[6:8])
    directory = tf.clip_by_value(number(low_half), 0, tf.size(tiff) - 2)
    count = number(tiff[directory : directory + 2])
    available = (tf.size(tiff) - directory - 2) // 12
    count = tf.minimum(count, available)
    entries = tf.reshape(tiff[directory + 2 : directory + 2 + 12 * count], [-1, 12])
    is_orientation = number(entries[:, 0:2]) == 0x0112
    return tf.reduce_sum(tf.where(is_orientation, number(entries[:, 8:10]), 0))

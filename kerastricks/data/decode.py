"""Encoded images to pixels, in TensorFlow functions alone.

Training, evaluation and the exported model call the same two functions, so that they see the same pixels.
"""

import tensorflow as tf

from kerastricks.data.exif import exif_orientation
from kerastricks.data.fitting import WHOLE, Fitting

# Of the pixels that a file becomes, for the keys of caches: another number where they change. 2 decodes JPEG exactly.
DECODER = 2

# By EXIF orientation, after rows and columns were exchanged where it is 5 to 8: upside down? mirrored?
_FLIPPED = [(n in (3, 4, 7, 8), n in (2, 3, 6, 7), False) for n in range(9)]


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode_image(contents: tf.Tensor) -> tf.Tensor:
    """Decodes JPEG, PNG, GIF (its first frame), BMP or WebP into upright RGB.

    JPEG is decoded exactly: to the bytes that Pillow gives, by the accurate DCT, where TensorFlow's default is the fast
    one (off by 1 of 255 in the mean and by up to 8). Grey becomes RGB, CMYK is converted, transparency of PNG and WebP
    is laid over white, 16-bit PNG is reduced to 8 bits and a JPEG is turned as its EXIF orientation says
    (`tf.io.decode_image` ignores it).

    Args:
        contents: scalar string, the file's bytes.

    Returns:
        uint8 (height, width, 3).

    Raises:
        tf.errors.InvalidArgumentError: for bytes that are no whole image.
    """
    orientation = exif_orientation(contents)
    image = tf.cond(orientation > 0, lambda: _jpeg(contents), lambda: _no_jpeg(contents))
    image = tf.cond(orientation > 1, lambda: _upright(image, orientation), lambda: image)
    image.set_shape([None, None, 3])
    return image


def fit_image(image: tf.Tensor, height: int, width: int, channels: int, fitting: Fitting = WHOLE) -> tf.Tensor:
    """The largest centred box of the target's shape, or a part of it, resized with antialiasing.

    An image that has the target's size stays as it is, unless a part of it is asked for.

    Args:
        image: uint8 (height, width, 3).
        height: of the result, in pixels.
        width: of the result, in pixels.
        channels: 3, or 1 for luma (ITU-R BT.601).
        fitting: which part, and how it is resized.

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
    """ITU-R BT.601: uint8 (height, width, 3) to (height, width, 1)."""
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


def _rgb(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def _no_jpeg(contents: tf.Tensor) -> tf.Tensor:
    is_png = tf.strings.substr(contents, 1, 3) == "PNG"
    is_webp = tf.strings.substr(contents, 8, 4) == "WEBP"
    return tf.cond(
        is_png,
        lambda: _png(contents),
        lambda: tf.cond(is_webp, lambda: _webp(contents), lambda: _rgb(contents)),
    )


def _png(contents: tf.Tensor) -> tf.Tensor:
    rgba = tf.io.decode_png(contents, channels=4)
    # Where a PNG has no alpha, TensorFlow fills in the largest sample of its bits: 255 only where it has 8 or more.
    bits = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=25)[24], tf.int32)
    filled = tf.gather(tf.constant([2**n - 1 for n in range(9)], tf.uint8), tf.minimum(bits, 8))
    opaque = tf.reduce_all(rgba[..., 3] == filled)
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
    axes = tf.where(orientation >= 5, [1, 0, 2], [0, 1, 2])
    return tf.raw_ops.Reverse(tensor=tf.transpose(image, axes), dims=tf.gather(_FLIPPED, orientation))

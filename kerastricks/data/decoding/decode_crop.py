"""Decode a window of an image and resize it, for random resized crops; no more of a JPEG is decoded."""

from collections.abc import Callable

import tensorflow as tf

from kerastricks.data.decoding.decode import decode_image, to_luma
from kerastricks.data.decoding.exif import exif_orientation

# From height and width of the upright image to int32 [top, left, height, width], inside of it.
WindowOf = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def decode_crop(
    contents: tf.Tensor,
    window_of: WindowOf,
    height: int,
    width: int,
    channels: int,
    upright_jpeg: bool | tf.Tensor | None = None,
    rounded: bool = False,
) -> tf.Tensor:
    """Decode a window of one image and resize it (bilinear, with antialiasing).

    The pixels are those of `decode_image`, but for colour in the first and last column of a JPEG's window: where a
    JPEG holds colour at half the resolution, the decoder would take part of it from the columns outside.

    Args:
        contents: scalar string, the file's bytes.
        window_of: called with the upright image's height and width, scalar int32; gives the window, which must be
            inside and not empty.
        height: height of the result in pixels.
        width: width of the result in pixels.
        channels: 3, or 1 for luma (ITU-R BT.601).
        upright_jpeg: result of `is_upright_jpeg` for the contents, where it is known; None looks. A Python bool,
            where it holds for every file, leaves the other case out of the graph, whose executor also visits what it
            does not run.
        rounded: uint8 instead of float32, a quarter of what is copied afterwards.

    Returns:
        float32 (height, width, channels), 0 to 255; uint8 where it is rounded.

    Raises:
        tf.errors.InvalidArgumentError: for bytes that are no image, a JPEG that is damaged before the window's end,
            or a window outside of the image.
    """
    if upright_jpeg is True:
        pixels = _jpeg_window(contents, window_of, channels)
    elif upright_jpeg is False:
        pixels = _window(decode_image(contents), window_of, channels)
    else:
        if upright_jpeg is None:
            upright_jpeg = exif_orientation(contents) == 1
        pixels = tf.cond(
            upright_jpeg,
            lambda: _jpeg_window(contents, window_of, channels),
            lambda: _window(_decode_whole(contents), window_of, channels),
        )
    return resize_window(pixels, height, width, rounded)


def resize_window(pixels: tf.Tensor, height: int, width: int, rounded: bool = False) -> tf.Tensor:
    """Resize one image (bilinear, half-pixel centres, with antialiasing), as `fit_image` does.

    Args:
        pixels: uint8 (h, w, channels).
        height: height of the result in pixels.
        width: width of the result in pixels.
        rounded: uint8 instead of float32.

    Returns:
        float32 (height, width, channels), 0 to 255; uint8 where it is rounded.
    """
    # What only grows has nothing to average, and the plain operation takes a fifth of the time; of floats half the time
    # that it takes of bytes. Rows and columns as two operations with transpositions between them were slower here.
    resized = tf.cond(
        tf.reduce_any(tf.shape(pixels)[:2] > [height, width]),
        lambda: tf.image.resize(pixels, (height, width), antialias=True),
        lambda: tf.image.resize(tf.cast(pixels, tf.float32), (height, width)),
    )
    return tf.cast(resized + 0.5, tf.uint8) if rounded else resized


def _jpeg_window(contents: tf.Tensor, window_of: WindowOf, channels: int) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(contents)
    window = window_of(shape[0], shape[1])

    # Exactly, as all other images: the fast DCT gained nothing that could be told from noise (docs/speed.md), and the
    # plain upsampling of colour is slower.
    def decoded(channels: int) -> tf.Tensor:
        return tf.image.decode_and_crop_jpeg(contents, window, channels=channels, dct_method="INTEGER_ACCURATE")

    if channels == 3:
        return decoded(3)
    return tf.cond(shape[2] == 1, lambda: decoded(1), lambda: to_luma(decoded(3)))


# Not inlined, for the executor's sake; the common case is faster by a quarter.
@tf.function(
    input_signature=[tf.TensorSpec([], tf.string)], autograph=False, experimental_attributes={"_noinline": True}
)
def _decode_whole(contents: tf.Tensor) -> tf.Tensor:
    return decode_image(contents)


def _window(image: tf.Tensor, window_of: WindowOf, channels: int) -> tf.Tensor:
    size = tf.shape(image)
    top, left, height, width = tf.unstack(window_of(size[0], size[1]), num=4)
    pixels = tf.slice(image, [top, left, 0], [height, width, 3])
    return pixels if channels == 3 else to_luma(pixels)

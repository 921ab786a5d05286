"""Decoded images of one split at their own sizes, from which windows are cut."""

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from kerastricks.data.decoding.decode_crop import WindowOf, resize_window
from kerastricks.data.decoding.decoded_file import image_bytes


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images of any sizes, one behind the other.

    Args:
        sizes: (N, 2) int32, height and width.
        offsets: (N,) int64, where each begins.
        pixels: (bytes of all,) uint8; a variable since tf.data copies captured tensors of less than 2 GB once.
        channels: of all of them.
        in_memory: False where the pixels are in a mapped file.
    """

    sizes: tf.Tensor
    offsets: tf.Tensor
    pixels: tf.Variable
    channels: int
    in_memory: bool

    @classmethod
    def of(cls, pixels: np.ndarray, sizes: np.ndarray, channels: int, in_memory: bool) -> "Decoded":
        """Takes over memory, which must begin at a multiple of 64 bytes: TensorFlow aborts otherwise."""
        lengths = image_bytes(sizes, channels)
        with tf.device("CPU:0"):  # where tf.data gathers, also if there is a GPU
            shared = tf.experimental.dlpack.from_dlpack(pixels.__dlpack__())
            return cls(
                sizes=tf.constant(sizes, tf.int32),
                offsets=tf.constant(np.cumsum(lengths) - lengths, tf.int64),
                pixels=tf.Variable(shared, trainable=False),
                channels=channels,
                in_memory=in_memory,
            )

    def take(self, indices: np.ndarray) -> "Decoded":
        """The chosen ones, in that order; the pixels are shared."""
        return replace(self, sizes=tf.gather(self.sizes, indices), offsets=tf.gather(self.offsets, indices))

    def window(
        self, index: tf.Tensor, top: tf.Tensor, left: tf.Tensor, height: tf.Tensor, width: tf.Tensor
    ) -> tf.Tensor:
        """A window of one image, uint8 (height, width, channels); only its rows are read.

        Args:
            index: of the image, scalar integer; so are the others.
            top: first row.
            left: first column.
            height: rows.
            width: columns.

        Raises:
            tf.errors.InvalidArgumentError: for a window that is not inside of the image.
        """
        size = tf.gather(self.sizes, index)
        inside = tf.logical_and(top >= 0, top + height <= size[0])
        # The next image's rows would be taken for this one's; slicing finds the other mistakes.
        check = tf.raw_ops.Assert(
            condition=inside, data=["window outside of the image: index, top, height", index, top, height]
        )
        with tf.control_dependencies([] if check is None else [check]):
            row_bytes = tf.cast(size[1] * self.channels, tf.int64)
            start = tf.gather(self.offsets, index) + tf.cast(top, tf.int64) * row_bytes
        rows = tf.slice(tf.convert_to_tensor(self.pixels), [start], [tf.cast(height, tf.int64) * row_bytes])
        image = tf.reshape(rows, [height, size[1], self.channels])
        return tf.slice(image, [0, left, 0], [height, width, self.channels])

    def crop(self, index: tf.Tensor, window_of: WindowOf, height: int, width: int, rounded: bool = False) -> tf.Tensor:
        """`decode_crop` of the file that the image was decoded from, without decoding.

        The same to the last bit, but for colour in the first and last column of a JPEG's window: there `decode_crop`
        does not see the columns outside.

        Args:
            index: of the image, scalar integer.
            window_of: as of `decode_crop`, like the others.
            height: of the result, in pixels.
            width: of the result, in pixels.
            rounded: uint8 instead of float32.
        """
        size = tf.gather(self.sizes, index)
        window = tf.unstack(window_of(size[0], size[1]), num=4)
        return resize_window(self.window(index, *window), height, width, rounded)

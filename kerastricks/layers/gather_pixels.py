"""Whole pixels of each image, by row and column."""

from typing import Any

from keras import ops


def gather_pixels(images: Any, rows: Any, columns: Any) -> Any:
    """Picks pixel (rows[b, i], columns[b, j]) of image b for every i, j: one gather on the flattened batch.

    Args:
        images: (batch, height, width, channels), any dtype.
        rows: int32, (batch, out_height), each inside the image.
        columns: int32, (batch, out_width), each inside the image.

    Returns:
        (batch, out_height, out_width, channels), of the dtype of `images`.
    """
    batch, height, width = ops.shape(images)[:3]
    first_rows = ops.expand_dims(ops.arange(batch, dtype="int32") * height, 1)
    indices = ops.expand_dims((first_rows + rows) * width, 2) + ops.expand_dims(columns, 1)
    return ops.take(ops.reshape(images, (-1, images.shape[-1])), indices, axis=0)

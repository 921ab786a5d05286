"""Second look at files: decodes every image once, into memory or only to see that it can be."""

import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from kerastricks.data.decode import decode_image, fit_image
from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.data.pixel_store import PixelStore
from kerastricks.data.progress import Progress
from kerastricks.data.source import Arrays, Examples, Files
from kerastricks.errors import DataError

_READ_AHEAD = 64  # files per call into Python


def read_contents(files: Files) -> Callable[[tf.Tensor], tf.Tensor]:
    """A TensorFlow function from indices (n,) to the bytes of those files (n,)."""

    def read(indices: np.ndarray) -> np.ndarray:
        return np.array([files.reader.read(files.names[i]) for i in indices], dtype=object)

    def from_indices(indices: tf.Tensor) -> tf.Tensor:
        contents = tf.numpy_function(read, [indices], tf.string, stateful=False)
        contents.set_shape(indices.shape)
        return contents

    return from_indices


def decode_all(
    files: Files, image_shape: tuple[int, int, int], description: str, progress: Progress, fitting: Fitting = WHOLE
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of (indices, images uint8) in order; a file that cannot be decoded is not among them.

    Args:
        files: whose headers were good.
        image_shape: (height, width, channels) of the result.
        description: for the progress.
        progress: shown there.
        fitting: to the shape.
    """
    contents_of = read_contents(files)

    def decode(index: tf.Tensor, contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return index, fit_image(decode_image(contents), *image_shape, fitting)

    batches = (
        tf.data.Dataset.range(len(files))
        .batch(_READ_AHEAD)
        .map(lambda indices: (indices, contents_of(indices)))
        .unbatch()
        .map(decode, num_parallel_calls=os.cpu_count() or 1, deterministic=True)
        .ignore_errors(log_warning=False)
        .batch(_READ_AHEAD)
        .prefetch(2)
    )
    with progress(description, len(files)) as advance:
        done = 0
        for indices, images in batches:
            yield indices.numpy(), images.numpy()
            advance(int(indices[-1]) + 1 - done)
            done = int(indices[-1]) + 1
        advance(len(files) - done)


def decode_into_memory(
    examples: Examples,
    image_shape: tuple[int, int, int],
    memory_bytes: int,
    description: str,
    progress: Progress,
    fitting: Fitting = WHOLE,
) -> Examples:
    """Arrays where they need no more than `memory_bytes`; what is given otherwise.

    Args:
        examples: files that were decoded before, or arrays.
        image_shape: (height, width, channels) of the result.
        memory_bytes: the most that the pixels may take.
        description: for the progress.
        progress: shown there.
        fitting: to the shape.
    """
    if isinstance(examples, Arrays) or len(examples) * int(np.prod(image_shape)) > memory_bytes:
        return examples
    store = PixelStore(len(examples), image_shape)
    done = 0
    for indices, images in decode_all(examples, image_shape, description, progress, fitting):
        store.images[indices] = images
        done += len(indices)
    examples.refuse_fewer(done)
    return Arrays(store, examples.labels, names=examples.names)


def why_undecodable(contents: bytes) -> str:
    """What the decoder says against a file."""
    try:
        decode_image(tf.constant(contents))
    except tf.errors.OpError as error:
        # The decoder's own words stand on the line before the node that says them.
        lines = [line.strip() for line in error.message.split("[[")[0].splitlines() if line.strip()]
        reason = lines[-1].split("}}")[-1].split(" [Op")[0].strip()
        return f"truncated or damaged ({reason[:120]})"
    raise DataError("a file that could not be decoded can be now: it changed while it was read; run it again")

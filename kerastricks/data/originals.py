"""Decodes every image of a split once, at its own size."""

import os
import zlib
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import tensorflow as tf

from kerastricks.data.decoding.decode import decode_image, to_luma
from kerastricks.data.decoding.pixels import why_refused
from kerastricks.data.progress import Progress
from kerastricks.data.sources.source import Files
from kerastricks.errors import DataError

_READ_AHEAD = 64  # files per call into Python
_PARALLEL_CALLS = os.cpu_count() or 1


def decode_originals(
    files: Files,
    sizes: np.ndarray,
    checksums: np.ndarray | None,
    channels: int,
    description: str,
    progress: Progress,
) -> Iterator[np.ndarray]:
    """The images in order, (height, width, channels) uint8.

    Args:
        files: all of which could be decoded.
        sizes: (N, 2), what they were when they were looked at.
        checksums: (N,) CRC-32 of their bytes then; None to believe it.
        channels: 3, or 1 for luma.
        description: for the progress.
        progress: shown there.

    Raises:
        DataError: names the first file that has changed since.
    """

    def read(indices: np.ndarray) -> np.ndarray:
        contents = [files.reader.read(files.names[i]) for i in indices]
        if checksums is not None and [zlib.crc32(each) for each in contents] != checksums[indices].tolist():
            raise OSError("changed")
        return np.array(contents, dtype=object)

    def decode(contents: tf.Tensor) -> tf.Tensor:
        image = decode_image(contents)
        return image if channels == 3 else to_luma(image)

    options = tf.data.Options()
    options.autotune.enabled = False  # ending an iterator waits for the autotuner's thread, which sleeps
    images = (
        tf.data.Dataset.range(len(files))
        .batch(_READ_AHEAD)
        .map(lambda indices: tf.ensure_shape(tf.numpy_function(read, [indices], tf.string, stateful=False), [None]))
        .unbatch()
        .map(decode, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)
        .prefetch(_PARALLEL_CALLS)
        .with_options(options)
    )
    done, stopped = 0, ""
    with progress(description, len(files)) as advance:
        try:
            for image in images.as_numpy_iterator():
                if image.shape[:2] != tuple(sizes[done]):
                    break
                yield image
                done += 1
                advance(1)
        except tf.errors.OpError as error:
            stopped = error.message.splitlines()[0][:120]
    if done < len(files):
        _find_changed(files, sizes, checksums, done, stopped)


def _find_changed(files: Files, sizes: np.ndarray, checksums: np.ndarray | None, start: int, stopped: str) -> NoReturn:
    for index in range(start, min(start + 2 * _READ_AHEAD, len(files))):
        name = f"{files.reader.path}: {files.names[index]}"
        try:
            contents = files.reader.read(files.names[index])
        except Exception as error:  # whatever a reader raises
            raise DataError(f"{name}: can no longer be read ({error}): put it back, or remove it") from None
        try:
            size = tuple(decode_image(tf.constant(contents)).shape[:2])
        except tf.errors.OpError as error:
            raise DataError(f"{name}: {why_refused(contents, error)}, and was not when it was looked at") from None
        if checksums is not None and zlib.crc32(contents) != checksums[index]:
            raise DataError(f"{name}: changed since it was looked at: nothing may write to the images while they load")
        if size != tuple(sizes[index]):
            raise DataError(f"{name}: changed since it was looked at, or its header lies: save it again")
    raise DataError(
        f"{files.reader.path}: {files.names[start]}: cannot be decoded beside others ({stopped or 'no reason'}), and "
        f"can by itself: free some memory"
    )

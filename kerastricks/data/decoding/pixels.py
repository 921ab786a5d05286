"""Decode every image of a split once: fitted or at its own size, into memory or only to see that it can be decoded."""

import io
import os
import zlib
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import tensorflow as tf
from PIL import Image

from kerastricks.data.decoding.decode import decode_image, fit_image, to_luma
from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.data.sources.contents import read_contents
from kerastricks.data.sources.source import UNREADABLE, Arrays, Examples, Files, PixelStore
from kerastricks.errors import DataError, first_line
from kerastricks.progress import Progress

_READ_AHEAD = 64  # files per call into Python
_PARALLEL_CALLS = os.cpu_count() or 1


def decode_all(
    files: Files, image_shape: tuple[int, int, int], description: str, progress: Progress, fitting: Fitting = WHOLE
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Decode files in order, in batches of (indices, images uint8); those that cannot be decoded are left out.

    So are those whose pixels have not the size that was read from the header: a crop's window would miss them.

    Args:
        files: files whose headers are good.
        image_shape: (height, width, channels) of the result.
        description: label of the progress.
        progress: shows how many files are done.
        fitting: how images are brought to the shape.
    """
    contents_of = read_contents(files, or_empty=True)
    sizes = None if files.sizes is None else tf.constant(files.sizes, tf.int32)

    def decode(index: tf.Tensor, contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = decode_image(contents)
        if sizes is not None:
            same = tf.reduce_all(tf.shape(image)[:2] == tf.gather(sizes, index))
            with tf.control_dependencies([tf.raw_ops.Assert(condition=same, data=["another size"])]):
                image = tf.identity(image)
        return index, fit_image(image, *image_shape, fitting)

    batches = (
        tf.data.Dataset.range(len(files))
        .batch(_READ_AHEAD)
        .map(lambda indices: (indices, contents_of(indices)))
        .unbatch()
        .map(decode, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)
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
    """Decode a split into memory, unless it needs more than `memory_bytes`; files are returned then.

    Args:
        examples: files that were decoded before, or arrays.
        image_shape: (height, width, channels) of the result.
        memory_bytes: the most that the pixels may take.
        description: label of the progress.
        progress: shows how many files are done.
        fitting: how images are brought to the shape.
    """
    if isinstance(examples, Arrays) or len(examples) * int(np.prod(image_shape)) > memory_bytes:
        return examples
    store = PixelStore(len(examples), image_shape)
    found = np.zeros(len(examples), bool)
    for indices, images in decode_all(examples, image_shape, description, progress, fitting):
        store.images[indices] = images
        found[indices] = True
    if not found.all():
        examples.refuse_changed()
        lost = int(np.argmin(found))
        reason = why_undecodable(examples, lost, image_shape, fitting)
        raise DataError(
            f"{examples.reader.path}: {examples.names[lost]}: {reason}, and was not when it was looked at before"
        )
    return Arrays(store, examples.labels, None, examples.names, examples.groups, examples.weights)


def why_undecodable(
    files: Files, index: int, image_shape: tuple[int, int, int] | None = None, fitting: Fitting = WHOLE
) -> str:
    """Explain in one line why `decode_all` left a file out.

    Args:
        files: files that were decoded.
        index: index of the file.
        image_shape: shape that they were fitted to; None for their own sizes.
        fitting: how they were fitted.
    """
    try:
        contents = files.read(index)
    except UNREADABLE as error:
        return f"can no longer be read ({first_line(error)})"
    try:
        image = decode_image(tf.constant(contents))
        if image_shape is not None:
            fit_image(image, *image_shape, fitting)
    except tf.errors.ResourceExhaustedError:
        return "more pixels than fit into memory"
    except tf.errors.OpError as error:
        return why_refused(contents, error)
    if files.sizes is not None and tuple(files.sizes[index]) != tuple(image.shape[:2]):
        (height, width), (high, wide) = files.sizes[index], image.shape[:2]
        return f"its header has {width} x {height} pixels, and it has {wide} x {high}: save it again"
    return "decoded at the second attempt only: it changed while it was read, or memory was short"


def why_refused(contents: bytes, error: tf.errors.OpError) -> str:
    """Explain in one line why the decoder refused a file: whether it is damaged, or of a kind that others can read.

    Args:
        contents: bytes of the file, whose header is good.
        error: error of `decode_image`.
    """
    # The decoder's own words stand on the line before the node that says them.
    lines = [line.strip() for line in error.message.split("[[")[0].splitlines() if line.strip()]
    said = lines[-1].split("}}")[-1].split(" [Op")[0].strip()[:120] if lines else "no reason"
    pillows_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # its header was good
    try:
        with Image.open(io.BytesIO(contents)) as image:
            image.load()
    except Exception:  # Pillow's decoders raise whatever a damaged file makes them
        return f"truncated or damaged ({said})"
    finally:
        Image.MAX_IMAGE_PIXELS = pillows_limit
    return f"a kind of {image.format} that is not supported ({said}): save it again as PNG"


def decode_originals(
    files: Files,
    sizes: np.ndarray,
    checksums: np.ndarray | None,
    channels: int,
    description: str,
    progress: Progress,
) -> Iterator[np.ndarray]:
    """Decode images in order at their own sizes, (height, width, channels) uint8.

    Args:
        files: files that can all be decoded.
        sizes: (N, 2), their sizes when they were looked at.
        checksums: (N,) CRC-32 of their bytes then; None compares none.
        channels: 3, or 1 for luma.
        description: label of the progress.
        progress: shows how many files are done.

    Raises:
        DataError: names the first file that has changed since.
    """

    def read(indices: np.ndarray) -> np.ndarray:
        contents = [files.read(int(i)) for i in indices]
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
            stopped = first_line(error.message)[:120]
    if done < len(files):
        _find_changed(files, sizes, checksums, done, stopped)


def _find_changed(files: Files, sizes: np.ndarray, checksums: np.ndarray | None, start: int, stopped: str) -> NoReturn:
    for index in range(start, min(start + 2 * _READ_AHEAD, len(files))):
        name = f"{files.reader.path}: {files.names[index]}"
        try:
            contents = files.read(index)
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

"""Decoded images of one split at their own sizes, from which windows are cut: in memory, or in a cache on disk."""

import errno
import hashlib
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerastricks.cache import DiskCache
from kerastricks.data.decoding.decode import DECODER
from kerastricks.data.decoding.decode_crop import WindowOf, resize_window
from kerastricks.data.decoding.decoded_file import (
    VERSION,
    check_decoded,
    file_bytes,
    image_bytes,
    map_pixels,
    write_decoded,
)
from kerastricks.data.decoding.pixels import decode_originals
from kerastricks.data.sources.headers import read_headers
from kerastricks.data.sources.source import Files
from kerastricks.errors import DataError
from kerastricks.progress import Progress

_SUFFIX = ".decoded"
_ALIGNMENT = 64  # bytes, what TensorFlow wants of memory that is not its own


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded images of any sizes, one after the other.

    Args:
        sizes: (N, 2) int32, height and width.
        offsets: (N,) int64, where each begins.
        pixels: (bytes of all,) uint8; a variable since tf.data copies captured tensors of less than 2 GB once.
        channels: channels of all images.
        in_memory: False where the pixels are in a mapped file.
    """

    sizes: tf.Tensor
    offsets: tf.Tensor
    pixels: tf.Variable
    channels: int
    in_memory: bool

    @classmethod
    def of(cls, pixels: np.ndarray, sizes: np.ndarray, channels: int, in_memory: bool) -> "Decoded":
        """Take over memory, which must begin at a multiple of 64 bytes: TensorFlow aborts otherwise."""
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
        """Cut a window of one image, uint8 (height, width, channels); only its rows are read.

        Args:
            index: index of the image, a scalar integer, as the others.
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
        """Crop and resize an image as `decode_crop` does with its file, without decoding.

        The same to the last bit, but for colour in the first and last column of a JPEG's window: there `decode_crop`
        does not see the columns outside.

        Args:
            index: index of the image, a scalar integer.
            window_of: see `decode_crop`.
            height: height of the result in pixels.
            width: width of the result in pixels.
            rounded: uint8 instead of float32.
        """
        size = tf.gather(self.sizes, index)
        window = tf.unstack(window_of(size[0], size[1]), num=4)
        return resize_window(self.window(index, *window), height, width, rounded)


def open_decoded(
    files: Files,
    channels: int,
    cache_dir: Path | str | os.PathLike[str] | None,
    memory_bytes: int,
    cache_bytes: int,
    progress: Progress,
    checksums: np.ndarray | None = None,
    name: str = "train",
) -> Decoded | None:
    """Decode a split into memory where it fits; else open or make its cache in a folder.

    Args:
        files: files that can all be decoded.
        channels: 3, or 1 for luma.
        cache_dir: folder of the caches, on a local disk; None for memory only.
        memory_bytes: the most that pixels in memory may take.
        cache_bytes: the most that all caches in the folder may take; those not used for longest make room.
        progress: shows how far decoding and checking are.
        checksums: (N,) CRC-32 of the files' bytes; None for those of `files`. Files are read for what is not known.
        name: name of the split, for messages.

    Returns:
        None where it fits nowhere, with a warning if there is a folder.

    Raises:
        DataError: for a file that is no longer what it was when it was looked at.
    """
    sizes, checksums = files.sizes, files.checksums if checksums is None else checksums
    if sizes is None:
        sizes, checksums = _look(files, name, progress)
    total = int(image_bytes(sizes, channels).sum())
    if total <= memory_bytes:
        pixels = _aligned(total)
        end = 0
        for image in decode_originals(files, sizes, checksums, channels, f"decoding {name}", progress):
            pixels[end : end + image.size] = image.reshape(-1)
            end += image.size
        return Decoded.of(pixels, sizes, channels, in_memory=True)
    if cache_dir is None:
        return None
    if checksums is None:
        sizes, checksums = _look(files, name, progress)
    folder = Path(os.path.expanduser(cache_dir))
    try:
        return _on_disk(files, sizes, checksums, channels, DiskCache(folder, cache_bytes, _SUFFIX), name, progress)
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        _without_cache(folder, reason)
        return None


def _on_disk(
    files: Files,
    sizes: np.ndarray,
    checksums: np.ndarray,
    channels: int,
    folder: DiskCache,
    name: str,
    progress: Progress,
) -> Decoded | None:
    key = _key(files, checksums, channels)
    path = folder.entry(key.hex())
    if path.exists():
        try:
            check_decoded(path, key, sizes, channels, files.names, f"checking decoded {name}", progress)
            return _mapped(folder, key, sizes, channels)
        except (OSError, ValueError) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            warnings.warn(f"{path}: damaged cache of decoded images ({reason}): it is made again", stacklevel=4)
            folder.remove(key.hex())
    refused = folder.make_room(file_bytes(sizes, channels))
    if refused:
        _without_cache(folder.path, refused)
        return None
    with folder.writing(key.hex()) as unfinished, unfinished.open("wb") as file:
        images = decode_originals(files, sizes, checksums, channels, f"decoding {name} into {folder.path}", progress)
        write_decoded(file, key, sizes, channels, images)
    return _mapped(folder, key, sizes, channels)


def _mapped(folder: DiskCache, key: bytes, sizes: np.ndarray, channels: int) -> Decoded:
    pixels = map_pixels(folder.entry(key.hex()), int(image_bytes(sizes, channels).sum()))
    decoded = Decoded.of(pixels, sizes, channels, in_memory=False)
    folder.hold(key.hex(), decoded.pixels)  # which a part of the images keeps too
    return decoded


def _aligned(size: int) -> np.ndarray:
    """Memory that TensorFlow takes over without a copy."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def _key(files: Files, checksums: np.ndarray, channels: int) -> bytes:
    """Hash what the pixels depend on; neither labels nor the folder of the files is part of it."""
    digest = hashlib.blake2b(f"{VERSION} {DECODER} {tf.__version__} {channels}\n".encode(), digest_size=16)
    for name, checksum in zip(files.names, checksums.tolist(), strict=True):
        digest.update(os.fsencode(name) + b"\0%d\n" % checksum)
    return digest.digest()


def _look(files: Files, name: str, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    headers = read_headers(files, 2**62, f"looking at {name}", progress)
    for index, reason in headers.skipped.items():
        raise DataError(f"{files.reader.path}: {files.names[index]}: cannot be used ({reason}): mend or remove it")
    return headers.sizes, headers.checksums


def _without_cache(folder: Path, reason: str) -> None:
    warnings.warn(
        f"{folder}: no cache of decoded images, {reason}: each is decoded whenever it is used; make room, or give "
        f"another cache_dir or more cache_bytes",
        stacklevel=4,
    )

"""The file format of decoded images: pixels first, so that they can be mapped, and an index at the end."""

import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kerastricks.progress import Progress

VERSION = 1
_MAGIC = b"kerastricks-px\r\n"
_END = struct.Struct("<16s16sIIQQ")  # magic, key, version, channels, images, bytes of pixels; then their CRC-32
_CRC = struct.Struct("<I")
_CHECK_BYTES = 64 << 20  # checked by one thread at a time
_WORKERS = os.cpu_count() or 1


def file_bytes(sizes: np.ndarray, channels: int) -> int:
    """Size in bytes of the file for these images.

    Args:
        sizes: (N, 2), height and width.
        channels: channels of all images.
    """
    return int(image_bytes(sizes, channels).sum()) + 12 * len(sizes) + _END.size + _CRC.size


def image_bytes(sizes: np.ndarray, channels: int) -> np.ndarray:
    """Size in bytes of each image: (N,) int64 from (N, 2)."""
    return sizes.astype(np.int64).prod(axis=1) * channels


def write_decoded(file: BinaryIO, key: bytes, sizes: np.ndarray, channels: int, images: Iterable[np.ndarray]) -> None:
    """Write a file of decoded images; nothing is forced to disk.

    Args:
        file: empty.
        key: 16 bytes that identify these images.
        sizes: (N, 2), height and width.
        channels: channels of all images.
        images: N times uint8, of these sizes.
    """
    file.truncate(file_bytes(sizes, channels))  # others who count what the folder holds see its size at once
    checksums = np.zeros(len(sizes), "<u4")
    for index, image in enumerate(images):
        pixels = np.ascontiguousarray(image).data
        file.write(pixels)
        checksums[index] = zlib.crc32(pixels)
    total = int(image_bytes(sizes, channels).sum())
    index_bytes = sizes.astype("<i4").tobytes() + checksums.tobytes()
    index_bytes += _END.pack(_MAGIC, key, VERSION, channels, len(sizes), total)
    file.write(index_bytes + _CRC.pack(zlib.crc32(index_bytes)))


def check_decoded(
    path: Path, key: bytes, sizes: np.ndarray, channels: int, names: Sequence[str], description: str, progress: Progress
) -> None:
    """Read all of a file and compare its checksums.

    Training reads it all anyway, and finds it in memory then where there is room for it.

    Args:
        path: the file.
        key: key that was written.
        sizes: sizes that were written.
        channels: channels that were written.
        names: names of the images, for messages.
        description: label of the progress.
        progress: shows how many images are done.

    Raises:
        ValueError: for a damaged file, or one of other images.
        OSError: where it cannot be read.
    """
    checksums = _read_index(path, key, sizes, channels)
    lengths = image_bytes(sizes, channels)
    starts = np.cumsum(lengths) - lengths
    parts = np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(starts // _CHECK_BYTES)) + 1)

    def damaged(part: np.ndarray) -> int | None:
        """The first image of a part that is not what was written."""
        with open(path, "rb", buffering=0) as file:
            file.seek(int(starts[part[0]]))
            for index in part.tolist():
                if zlib.crc32(file.read(int(lengths[index]))) != checksums[index]:
                    return index
        return None

    with progress(description, len(sizes)) as advance, ThreadPoolExecutor(_WORKERS) as threads:
        for part, index in zip(parts, threads.map(damaged, parts), strict=True):
            if index is not None:
                raise ValueError(f"checksum mismatch in image {names[index]}")
            advance(len(part))


def map_pixels(path: Path, size: int) -> np.ndarray:
    """Map the first bytes of a file as (size,) uint8, without reading them.

    The memory cannot be written to, though NumPy takes it for writable: it would not give away what is not, and a
    private writable mapping, which it offers instead, is refused where it is larger than the machine's memory.
    """
    return np.asarray(_Mapping(path, size))


class _Mapping:
    def __init__(self, path: Path, size: int) -> None:
        with open(path, "rb") as file:
            self.map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        address = np.frombuffer(self.map, np.uint8).ctypes.data
        self.__array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (address, False), "version": 3}


def _read_index(path: Path, key: bytes, sizes: np.ndarray, channels: int) -> np.ndarray:
    total = int(image_bytes(sizes, channels).sum())
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) != file_bytes(sizes, channels):
            raise ValueError("it is cut off")
        file.seek(total)
        contents = file.read()
    index_bytes, checksum = contents[: -_CRC.size], contents[-_CRC.size :]
    magic, written_key, version, *counts = _END.unpack(index_bytes[-_END.size :])
    if magic == _MAGIC and version != VERSION:
        raise ValueError(f"version {version} of the format, and {VERSION} is known")
    if zlib.crc32(index_bytes) != _CRC.unpack(checksum)[0] or magic != _MAGIC:
        raise ValueError("checksum mismatch in its index")
    table = np.frombuffer(index_bytes[: -_END.size], "<i4")
    same_sizes = np.array_equal(table[: 2 * len(sizes)], sizes.reshape(-1))
    if written_key != key or counts != [channels, len(sizes), total] or not same_sizes:
        raise ValueError("it holds other images")
    return table[2 * len(sizes) :].view("<u4")

"""Sources of images: named classes, and for each split either files or decoded arrays."""

import lzma
import math
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kerastricks.errors import DataError

SPLITS = ("train", "validation", "test")
# What readers raise for a file that cannot be read.
UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
_ALIGNMENT = 64  # bytes, what TensorFlow and XLA want of memory that is not their own


class Reader(Protocol):
    """Reader of files by their names."""

    @property
    def path(self) -> Path | str:
        """Where they are, for messages."""
        ...

    def read(self, name: str) -> bytes:
        """Read one file; OSError or zipfile.BadZipFile where that fails."""
        ...


class Names(Sequence[str]):
    """Names as one run of bytes, which may be mapped: a million of them need no million objects.

    Args:
        text: uint8, all names one after another.
        ends: (count + 1,) integers, where each begins and the last one ends.
        rows: indices of those that these are, in order; None for all.
    """

    def __init__(self, text: np.ndarray, ends: np.ndarray, rows: np.ndarray | range | None = None) -> None:
        self.text = text
        self.ends = ends
        self.rows = rows
        # A view gives single items several times faster than an array.
        self._text, self._ends = text.data, ends.data

    def __reduce__(self) -> tuple[Any, ...]:
        return Names, (self.text, self.ends, self.rows)

    def __len__(self) -> int:
        return len(self.ends) - 1 if self.rows is None else len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return os.fsdecode(self.encoded(self.row(index)))

    def row(self, index: int) -> int:
        """Index among all names of one of these; IndexError where there is none."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index = index % len(self)
        return index if self.rows is None else int(self.rows[index])

    def encoded(self, row: int) -> bytes:
        """Bytes of the name at an index of all, whichever these are."""
        return self._text[self._ends[row] : self._ends[row + 1]].tobytes()

    def take(self, indices: np.ndarray) -> "Names":
        """The chosen ones, in that order; the text is shared."""
        if isinstance(self.rows, range):
            return Names(self.text, self.ends, np.arange(len(self))[indices] + self.rows.start)
        return Names(self.text, self.ends, indices if self.rows is None else self.rows[indices])


@dataclass(frozen=True)
class Files:
    """Encoded images with their labels.

    Args:
        names: relative to the reader's root, with forward slashes.
        labels: (len(names),) int32.
        reader: reads them.
        sizes: (len(names), 2) int32, height and width in pixels as seen upright; None before they were looked at.
        checksums: (len(names),) CRC-32 of the files' bytes; None likewise.
        upright_jpeg: (len(names),) bool, whether a file is a JPEG that is not turned; None likewise.
        groups: (len(names),) of str, the group of each image, which no two splits share; None where there are none.
        weights: (len(names),) float64, 0 or more, of the images in the loss of a training; None for equal ones.
    """

    names: Sequence[str]
    labels: np.ndarray
    reader: Reader
    sizes: np.ndarray | None = None
    checksums: np.ndarray | None = None
    upright_jpeg: np.ndarray | None = None
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: np.ndarray) -> "Files":
        """The chosen ones, in that order."""
        known = (self.sizes, self.checksums, self.upright_jpeg, self.groups, self.weights)
        of_these = (None if column is None else column[indices] for column in known)
        names = self.names.take(indices) if isinstance(self.names, Names) else [self.names[i] for i in indices]
        return Files(names, self.labels[indices], self.reader, *of_these)

    def read(self, index: int) -> bytes:
        """Read a file; errors are those of the reader."""
        # One that has an index of its own needs no search in it for a name out of it.
        of_row = getattr(self.reader, "read_row", None)
        if of_row is not None and isinstance(self.names, Names) and self.names.text is self.reader.index["text"]:  # type: ignore[attr-defined]
            return of_row(self.names.row(index))
        return self.reader.read(self.names[index])

    def read_again(self, index: int) -> bytes:
        """Read a file that was looked at before.

        Raises:
            DataError: naming the file, where it can no longer be read or has changed since.
        """
        name = f"{self.reader.path}: {self.names[index]}"
        try:
            contents = self.read(index)
        except Exception as error:  # whatever a reader raises
            reason = getattr(error, "strerror", None) or str(error).split("\n")[0] or type(error).__name__
            raise DataError(f"{name}: can no longer be read ({reason}): bring it back, or run it again") from None
        if self.checksums is not None and zlib.crc32(contents) != self.checksums[index]:
            raise DataError(f"{name}: changed since it was looked at: bring it back, or run it again")
        return contents

    def refuse_changed(self) -> None:
        """Raises DataError naming a file that is gone or has changed since it was looked at, where there is one."""

        def age(index: int) -> float:
            try:
                return -os.stat(os.path.join(self.reader.path, self.names[index])).st_mtime
            except OSError:  # gone; or all are in one file
                return -math.inf

        for index in sorted(range(len(self)), key=age):  # what was written last is looked at first
            self.read_again(index)

    def refuse_fewer(self, count: int) -> None:
        """Raise DataError, naming the file that has changed, where only `count` could be read."""
        if count < len(self):
            self.refuse_changed()
            raise DataError(f"{self.reader.path}: a file could not be read for a while: run it again")


class PixelStore:
    """Images as a run of pixels with a black one at its end, which stands for all that lies outside an image.

    Augmentation reads pixels from where they lie here, so that neither padding nor a batch of untouched images is
    ever made.

    Args:
        count: number of images.
        image_shape: (height, width, channels).

    Attributes:
        pixels: (count * height * width + 1, channels) uint8.
        images: (count, height, width, channels) uint8, the same memory.
    """

    def __init__(self, count: int, image_shape: tuple[int, int, int]) -> None:
        height, width, channels = image_shape
        self.image_shape = image_shape
        size = (count * height * width + 1) * channels
        memory = np.zeros(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        self.pixels = memory[start : start + size].reshape(-1, channels)
        self.images = self.pixels[:-1].reshape(count, *image_shape)

    @classmethod
    def holding(cls, images: np.ndarray) -> "PixelStore":
        """A store with a copy of (N, height, width, channels) uint8."""
        store = cls(len(images), images.shape[1:])
        store.images[...] = images
        return store

    @classmethod
    def mapped(cls, path: Path, image_shape: tuple[int, int, int]) -> "PixelStore":
        """A store whose pixels `numpy.save` wrote; what is written into it stays in this process."""
        store = cls.__new__(cls)
        store.image_shape = image_shape
        # Copy on write: TensorFlow takes no memory that it may not write to. NumPy's header ends at 64 bytes.
        store.pixels = np.asarray(np.load(path, mmap_mode="c"))
        store.images = store.pixels[:-1].reshape(-1, *image_shape)
        return store

    @property
    def is_wide(self) -> bool:
        """Whether the number of a pixel does not fit into 32 bits."""
        return len(self.pixels) > 2**31 - 1


@dataclass(frozen=True)
class Arrays:
    """Decoded images with their labels: all of a store's, or some of its rows.

    Args:
        store: store of the pixels.
        labels: (N,) int32.
        rows: (N,) int32: the images' indices in the store; None for all, in order.
        names: names of the N files they were decoded from; None where they came as arrays.
        groups: see `Files`.
        weights: see `Files`.
    """

    store: PixelStore
    labels: np.ndarray
    rows: np.ndarray | None = None
    names: Sequence[str] | None = None
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.store.image_shape

    @property
    def images(self) -> np.ndarray:
        """(N, height, width, channels) uint8; a copy where they are not all of the store's."""
        return self.store.images if self.rows is None else self.store.images[self.rows]

    def part(self, start: int, stop: int) -> np.ndarray:
        """Images `start` to `stop`, without the others."""
        chosen = slice(start, stop) if self.rows is None else self.rows[start:stop]
        return self.store.images[chosen]

    def take(self, indices: np.ndarray) -> "Arrays":
        """The chosen ones, in that order; the pixels are shared."""
        rows = indices if self.rows is None else self.rows[indices]
        names = None if self.names is None else [self.names[i] for i in indices]
        columns = (None if column is None else column[indices] for column in (self.groups, self.weights))
        return Arrays(self.store, self.labels[indices], rows.astype(np.int32), names, *columns)


Examples = Files | Arrays


@dataclass(frozen=True)
class Source:
    """Images as they were found, before splits are made.

    Args:
        name: short, for messages and run folders.
        class_names: the label is the index.
        splits: the splits that were found; "train" always.
        photographs: False for files that were made of arrays.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Examples]
    photographs: bool = True


def arrays(images: np.ndarray, labels: np.ndarray, name: str = "arrays") -> Arrays:
    """Check arrays and convert them to uint8 images and int32 labels.

    Args:
        images: (N, height, width), (N, height, width, 1) or (N, height, width, 3); values 0 to 255.
        labels: (N,) or (N, 1) integers from 0.
        name: name of the source, for messages.

    Raises:
        DataError: for another shape, values outside 0-255 (also NaN), or labels that do not fit.
    """
    try:
        images, labels = np.asarray(images), np.asarray(labels)
    except ValueError:
        raise DataError(f"{name}: images must be (N, height, width) or (N, height, width, 1 or 3)") from None
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise DataError(
            f"{name}: images must be (N, height, width) or (N, height, width, 1 or 3). Received: {images.shape}"
        )
    if images.dtype != np.uint8:
        if images.size and not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 255):
            raise DataError(
                f"{name}: pixels must be finite and in 0-255. Received: {images.dtype} from {images.min()} to "
                f"{images.max()}"
            )
        if images.size and np.issubdtype(images.dtype, np.floating) and images.max() <= 1:
            raise DataError(f"{name}: pixels must be 0-255 and look like 0-1: multiply them by 255")
        images = np.round(images).astype(np.uint8)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        if labels.ndim > 1:
            hint = ": multi-label targets are not supported; of one-hot rows give the argmax"
        elif np.issubdtype(labels.dtype, np.floating):
            hint = ": regression targets are not supported; class numbers are integers"
        else:
            hint = ""
        raise DataError(
            f"{name}: labels must be {len(images)} integers, one per image. "
            f"Received: shape {labels.shape}, {labels.dtype}{hint}"
        )
    if len(labels) and labels.min() < 0:
        raise DataError(f"{name}: labels must count from 0. Received: {labels.min()}")
    return Arrays(PixelStore.holding(images), labels.astype(np.int32))


def arrays_source(pair: tuple[np.ndarray, np.ndarray]) -> Source:
    """Make the source for `(x, y)`."""
    examples = arrays(*pair)
    classes = int(examples.labels.max()) + 1 if len(examples) else 0
    return Source("arrays", tuple(str(i) for i in range(classes)), {"train": examples})

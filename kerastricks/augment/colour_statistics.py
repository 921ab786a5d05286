"""Mean, standard deviation and principal components of training colours, and the batches they are measured on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastricks.augment.colours import eigenpairs
from kerastricks.augment.op import Statistics

PIXELS = 2**18  # of one piece: 6 MB of three channels in float64


def image_batches(data: Any, channels: int | None = None) -> Iterator[np.ndarray]:
    """Yields NumPy arrays (n, height, width, channels) of about `PIXELS` pixels, in the order of `data`, once.

    Args:
        data: an array of images (anything with `shape`, `dtype` and slices: NumPy, memory-mapped, HDF5, tensors),
            or an iterable of batches: arrays or (images, ...) tuples, as of `tf.data`, a generator, a `PyDataset`.
        channels: that the images must have; None for those of the first.

    Raises:
        ValueError: for another rank or number of channels, a data set that never ends, or no images at all.
    """
    found = False
    for index, images in enumerate(batches(data)):
        shape = tuple(getattr(images, "shape", ()))
        if len(shape) != 4 or shape[-1] != (channels := channels or shape[-1]):
            raise ValueError(
                f"data must be images (N, height, width, {channels or 'channels'}) or batches of them. "
                f"Received: shape {shape} "
                f"({type(images).__name__}) in batch {index}; reshape the images, or batch the data set first"
            )
        step = max(1, PIXELS // max(1, shape[1] * shape[2]))
        for start in range(0, shape[0], step):
            found = True
            yield keras.ops.convert_to_numpy(images[start : start + step])
    if not found:
        raise ValueError("data must hold images. Received: none; an iterator that was read before is empty")


def batches(data: Any) -> Iterator[Any]:
    """Yields `data` itself, if it is an array, or the first part of each of its batches."""
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        yield data
        return
    cardinality = getattr(data, "cardinality", None)  # of tf.data: -1 for one that repeats
    if callable(cardinality) and int(cardinality()) == -1:
        raise ValueError(
            "data must end. Received: a data set that repeats for ever; take(n) of it, or fit before repeat"
        )
    if isinstance(data, keras.utils.PyDataset):  # has no end as an iterable
        if data.num_batches is None:
            raise ValueError(
                "data must end. Received: a PyDataset with num_batches None; give it the number of batches of one epoch"
            )
        data = map(data.__getitem__, range(data.num_batches))
    if not hasattr(data, "__iter__"):
        raise ValueError(f"data must be an array or an iterable of batches. Received: {type(data).__name__}")
    for batch in data:
        yield batch[0] if isinstance(batch, tuple | list) and len(batch) else batch


@dataclass(frozen=True)
class ColourStatistics:
    """Statistics of the training images' colours as plain numbers, see `kerastricks.augment.op.Statistics`.

    Args:
        means: per channel, 0 to 255.
        deviations: per channel, above 0.
        eigenvalues: of the covariance of colours in [0, 1], descending.
        eigenvectors: a row per channel, a component per column.

    Raises:
        ValueError: for numbers that are none, or too few.
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    eigenvalues: tuple[float, ...]
    eigenvectors: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        channels = len(self.means)
        shapes = [np.shape(part) for part in (self.means, self.deviations, self.eigenvalues, self.eigenvectors)]
        if not channels or shapes != [(channels,), (channels,), (channels,), (channels, channels)]:
            raise ValueError(
                "statistics must hold mean, std and eigenvalues of (channels,) and eigenvectors of "
                f"(channels, channels). Received: shapes {shapes}"
            )
        flat = [*self.means, *self.deviations, *self.eigenvalues, *np.ravel(self.eigenvectors)]
        if not np.isfinite(flat).all() or min(self.deviations) <= 0 or min(self.eigenvalues) < 0:
            raise ValueError(
                "statistics must be finite, with std above 0 and eigenvalues of 0 or more. "
                f"Received: std={self.deviations}, eigenvalues={self.eigenvalues}"
            )

    @property
    def mean(self) -> np.ndarray:
        """(channels,), 0 to 255."""
        return np.array(self.means)

    @property
    def std(self) -> np.ndarray:
        """(channels,), above 0."""
        return np.array(self.deviations)

    def eigen(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues, descending, and eigenvectors (a column each) of the covariance of pixels in [0, 1]."""
        return np.array(self.eigenvalues), np.array(self.eigenvectors)

    @classmethod
    def of(cls, statistics: Statistics | Mapping[str, Any]) -> "ColourStatistics":
        """Converts any object with the protocol of statistics, or what `to_config` returned."""
        if isinstance(statistics, Mapping):
            parts: Any = [statistics[name] for name in ("mean", "std", "eigenvalues", "eigenvectors")]
        else:
            parts = [statistics.mean, statistics.std, *statistics.eigen()]
        mean, std, values, vectors = (np.asarray(part, "float64").tolist() for part in parts)
        return cls(tuple(mean), tuple(std), tuple(values), tuple(map(tuple, vectors)))

    def to_config(self) -> dict[str, Any]:
        """JSON-compatible values, which `of` reads."""
        return {
            "mean": list(self.means),
            "std": list(self.deviations),
            "eigenvalues": list(self.eigenvalues),
            "eigenvectors": [list(row) for row in self.eigenvectors],
        }

    @classmethod
    def measure(cls, data: Any) -> "ColourStatistics":
        """Reads all pixels of `data` once.

        Args:
            data: images 0 to 255: one array (N, height, width, channels), also one on disk, or an iterable of batches,
                each an array or a tuple (images, ...).

        Raises:
            ValueError: for no images, another shape, or values that are not 0 to 255.
        """
        count, total, products = 0, np.zeros(()), np.zeros(())
        largest, is_float = 0.0, False
        for images in image_batches(data):
            # Sums of integers up to 255 are exact in float64 up to 10^11 pixels, and of fractions as good as that.
            pixels = images.reshape(-1, images.shape[-1]).astype("float64")
            low, high = float(pixels.min()), float(pixels.max())  # NaN if one of them is
            if not 0 <= low <= high <= 255:
                raise ValueError(f"data must be finite and in 0-255. Received: pixels from {low} to {high}")
            largest, is_float = max(largest, high), is_float or images.dtype.kind == "f"
            count, total, products = count + len(pixels), total + pixels.sum(axis=0), products + pixels.T @ pixels
        if is_float and 0 < largest <= 1:
            raise ValueError(f"data must be in 0-255. Received: pixels up to {largest}; multiply by 255")
        mean = total / count
        covariance = products / count - np.outer(mean, mean)
        variance = np.diag(covariance)
        std = np.where(variance > 1e-6, np.sqrt(np.maximum(variance, 0)), 1.0)  # a channel that never changes
        values, vectors = eigenpairs(covariance / 255.0**2)
        return cls.of({"mean": mean, "std": std, "eigenvalues": values, "eigenvectors": vectors})

"""K-fold cross-validation: the training and validation images, divided in another way each time."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kerastricks.data.cross_validation import MEMORY_BYTES, divided, measure, originals, pool
from kerastricks.data.decoded import Decoded
from kerastricks.data.decoding.pixels import decode_into_memory
from kerastricks.data.image_data import ImageData
from kerastricks.data.progress import silent
from kerastricks.data.sources.source import Arrays, Examples, Files
from kerastricks.data.statistics import PixelStatistics
from kerastricks.errors import DataError


def folds(data: ImageData, count: int, seed: int = 0) -> list[ImageData]:
    """Divides training and validation images into `count` parts, each of which is once the validation split.

    A class has its share in every part: parts differ by at most one image of a class. Mean, deviation and colours, and
    so normalisation and fancy PCA, are those of each fold's own training images. The test images stay what they are,
    and are in no fold. Pixels in memory are shared by all folds, and copied once where training and validation images
    came apart.

    Args:
        data: of `kerastricks.data.load`.
        count: of folds, 2 or more.
        seed: which images are in a fold; no other seed matters.

    Returns:
        `count` data sets.

    Raises:
        DataError: for fewer than two folds, or a class with fewer images than folds.

    Example:
        >>> import kerastricks, numpy
        >>> data = kerastricks.data.load((numpy.zeros((40, 8, 8, 1), "uint8"), numpy.arange(40) % 2))
        >>> [part.splits["validation"].size for part in kerastricks.data.folds(data, 3)]
        [12, 12, 12]
    """
    parts = _Folds(data, count, seed)
    return [parts.fold(index) for index in range(count)]


def fold(data: ImageData, index: int, count: int, seed: int = 0) -> ImageData:
    """One of `folds`, without making the others.

    Args:
        data: of `kerastricks.data.load`.
        index: which one, from 0.
        count: of folds, 2 or more.
        seed: which images are in a fold.

    Returns:
        The data set `folds(data, count, seed)[index]`.

    Raises:
        DataError: as of `folds`, and for an index that is not in 0 to count - 1.
    """
    if not 0 <= index < count:
        raise DataError(f"fold must be in 0-{count - 1}. Received: fold={index}")
    return _Folds(data, count, seed).fold(index)


@dataclass(frozen=True)
class _Folds:
    data: ImageData
    count: int
    seed: int
    measured: dict[int, PixelStatistics] = field(default_factory=dict)

    def __post_init__(self) -> None:
        data = self.data
        if self.count < 2:
            raise DataError(f"folds must be 2 or more. Received: folds={self.count}")
        labels = np.concatenate([data.labels("train"), data.labels("validation")])
        images = np.bincount(labels, minlength=len(data.class_names))
        fewest = int(images.argmin())
        if images[fewest] < self.count:
            raise DataError(
                f"{data.name}: class {data.class_names[fewest]!r} has {images[fewest]} images for training and "
                f"validation, and {self.count} are needed for {self.count} folds: add images, or take fewer folds"
            )

    @cached_property
    def examples(self) -> Examples:
        return pool(self.data)

    @cached_property
    def parts(self) -> list[np.ndarray]:
        """For each fold the places of its validation images, sorted."""
        labels = self.examples.labels
        order = np.lexsort((np.random.default_rng(self.seed).random(len(labels)), labels))
        return [np.sort(order[start :: self.count]) for start in range(self.count)]

    @cached_property
    def decoded(self) -> Decoded | None:
        return originals(self.data, self.examples)

    def statistics(self, place: int) -> PixelStatistics:
        """Of the pixels of a part; those of a training split are sums of them."""
        if place not in self.measured:
            self.measured[place] = measure(self.examples.take(self.parts[place]), self.data)
        return self.measured[place]

    def fold(self, index: int) -> ImageData:
        data, examples = self.data, self.examples
        others = [place for place in range(self.count) if place != index]
        chosen = np.sort(np.concatenate([self.parts[place] for place in others]))
        train = examples.take(chosen)
        validation = examples.take(self.parts[index])
        if isinstance(validation, Files) and isinstance(data.splits["validation"].examples, Arrays):
            validation = decode_into_memory(
                validation, data.image_shape, MEMORY_BYTES, "decoding validation", silent, data.fitting
            )
        statistics = PixelStatistics(data.image_shape[-1])
        for place in others:
            statistics = statistics + self.statistics(place)
        decoded = self.decoded.take(chosen) if self.decoded is not None else None
        which = f"fold {index + 1} of {self.count}"
        return divided(data, train, validation, decoded, statistics, which, f"{which} {self.seed}")

"""K-fold cross-validation, and training on the training and validation images together."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from kerastricks.augment.op import ImageSpec
from kerastricks.data.decoding.decoded_cache import Decoded, open_decoded
from kerastricks.data.decoding.pixels import decode_into_memory
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.pipeline.stages import StagedOps
from kerastricks.data.sources.groups import divide_groups
from kerastricks.data.sources.headers import read_headers
from kerastricks.data.sources.source import Arrays, Examples, Files, PixelStore
from kerastricks.data.statistics import PixelStatistics, measure_pixels
from kerastricks.errors import DataError
from kerastricks.progress import silent

MEMORY_BYTES = 1 << 30  # of decoded images, the default of `load`
_MAX_PIXELS = 1 << 40  # those files were looked at when they were loaded


def pooled(data: ImageData) -> ImageData:
    """Pool training and validation images for training, for a final run with hyperparameters that were found.

    The validation split stays as it is and is trained on, too: its accuracy is no estimate of that on new images any
    more. The test images are for that; they stay untouched.

    Args:
        data: data set of `kerastricks.data.load`.

    Returns:
        The data set, with mean, deviation and colours of all images that are trained on.

    Example:
        >>> import kerastricks, numpy
        >>> data = kerastricks.data.load((numpy.zeros((40, 8, 8, 1), "uint8"), numpy.arange(40) % 2))
        >>> data.splits["train"].size, kerastricks.data.pooled(data).splits["train"].size
        (32, 36)
    """
    train = pool(data)
    validation = data.splits["validation"].examples
    which = "training and validation"
    return divided(
        data,
        train,
        validation,
        originals(data, train),
        measure_pixels(train, data.image_shape, "measuring train", silent, data.fitting),
        which,
        which,
    )


def divided(
    data: ImageData,
    train: Examples,
    validation: Examples,
    decoded: Decoded | None,
    statistics: PixelStatistics,
    which: str,
    mark: str,
) -> ImageData:
    """Replace the training and validation images of a data set, and what was fitted to them."""
    old = data.augmentation
    classes = len(data.class_names)
    counts = tuple(np.bincount(train.labels, minlength=classes).tolist())
    image_spec = ImageSpec(data.image_shape, classes, statistics, counts)
    batch_size = min(data.batch_size, len(train))
    service = data.splits["train"].service
    common = (data.image_shape, batch_size, data.seed)
    return replace(
        data,
        name=f"{data.name}, {which}",
        splits={
            "train": Batches(train, *common, decoded, service, data.fitting),
            "validation": Batches(validation, *common, fitting=data.fitting),
            "test": Batches(data.splits["test"].examples, *common, fitting=data.fitting),
        },
        augmentation=StagedOps(old.text, image_spec, old.seed, old.stages, old.crops_originals),
        statistics=statistics,
        fingerprint=hashlib.blake2b(f"{data.fingerprint} {mark}".encode(), digest_size=16).hexdigest(),
        batch_size=batch_size,
        in_memory=isinstance(train, Arrays) or decoded is not None,
    )


def pool(data: ImageData) -> Examples:
    """Concatenate the training and validation images."""
    train, validation = (data.splits[name].examples for name in ("train", "validation"))
    if isinstance(train, Arrays):
        assert isinstance(validation, Arrays)
        return _pooled_arrays(train, validation)
    return _pooled_files(train, validation)


def originals(data: ImageData, pool: Examples) -> Decoded | None:
    """Decode the originals, where the data set has them in memory."""
    kept = data.splits["train"].decoded
    if kept is None or not kept.in_memory or isinstance(pool, Arrays):
        return None
    return open_decoded(pool, data.image_shape[-1], None, MEMORY_BYTES, 0, silent)


def _pooled_arrays(train: Arrays, validation: Arrays) -> Arrays:
    labels = np.concatenate([train.labels, validation.labels])
    columns = _joined((train.groups, validation.groups), (train.weights, validation.weights))
    names = None
    if train.names is not None and validation.names is not None:
        names = [*train.names, *validation.names]
    if train.store is validation.store:
        rows = [np.arange(len(part)) if part.rows is None else part.rows for part in (train, validation)]
        return Arrays(train.store, labels, np.concatenate(rows).astype(np.int32), names, *columns)
    store = PixelStore(len(labels), train.image_shape)
    for start, part in ((0, train), (len(train), validation)):
        for first in range(0, len(part), 256):
            some = part.part(first, first + 256)
            store.images[start + first : start + first + len(some)] = some
    return Arrays(store, labels, None, names, *columns)


def _pooled_files(train: Files, validation: Examples) -> Files:
    """Concatenate files; validation images that were decoded into memory become files again."""
    names = [*train.names, *(validation.names or ())]
    labels = np.concatenate([train.labels, validation.labels])
    groups, weights = _joined((train.groups, validation.groups), (train.weights, validation.weights))
    files = Files(names, labels, train.reader, groups=groups, weights=weights)
    if not isinstance(validation, Files):
        return _with_headers(files)
    sizes, checksums, upright = _joined(
        (train.sizes, validation.sizes),
        (train.checksums, validation.checksums),
        (train.upright_jpeg, validation.upright_jpeg),
    )
    return replace(files, sizes=sizes, checksums=checksums, upright_jpeg=upright)


def _joined(*pairs: tuple[np.ndarray | None, np.ndarray | None]) -> list[np.ndarray | None]:
    """Concatenate columns of two splits; None where either has none."""
    return [None if old is None or new is None else np.concatenate([old, new]) for old, new in pairs]


def _with_headers(files: Files) -> Files:
    headers = read_headers(files, _MAX_PIXELS, "looking at the folds", silent)
    return replace(files, sizes=headers.sizes, checksums=headers.checksums, upright_jpeg=headers.upright_jpeg)


def folds(data: ImageData, count: int, seed: int = 0) -> list[ImageData]:
    """Divide training and validation images into `count` parts, each of which is once the validation split.

    A class has its share in every part: parts differ by at most one image of a class. Where images have groups, no two
    parts share one, and classes have their shares as well as whole groups allow. Mean, deviation and colours, and
    so normalisation and fancy PCA, are those of each fold's own training images. The test images stay what they are,
    and are in no fold. Pixels in memory are shared by all folds, and copied once where training and validation images
    came apart.

    Args:
        data: data set of `kerastricks.data.load`.
        count: number of folds, 2 or more.
        seed: seed of the assignment of images to folds; no other seed matters.

    Returns:
        `count` data sets.

    Raises:
        DataError: for fewer than two folds, or a class with fewer images or groups than folds.

    Example:
        >>> import kerastricks, numpy
        >>> data = kerastricks.data.load((numpy.zeros((40, 8, 8, 1), "uint8"), numpy.arange(40) % 2))
        >>> [part.splits["validation"].size for part in kerastricks.data.folds(data, 3)]
        [12, 12, 12]
    """
    parts = _Folds(data, count, seed)
    return [parts.fold(index) for index in range(count)]


def fold(data: ImageData, index: int, count: int, seed: int = 0) -> ImageData:
    """Make one of `folds`, without the others.

    Args:
        data: data set of `kerastricks.data.load`.
        index: index of the fold, from 0.
        count: number of folds, 2 or more.
        seed: seed of the assignment of images to folds.

    Returns:
        The data set `folds(data, count, seed)[index]`.

    Raises:
        DataError: see `folds`; also for an index that is not in 0 to count - 1.
    """
    if not 0 <= index < count:
        raise DataError(f"fold must be in 0-{count - 1}. Received: fold={index}")
    return _Folds(data, count, seed).fold(index)


def held_out(data: ImageData, count: int, seed: int = 0) -> list[np.ndarray]:
    """Indices of the images that each of `folds` holds out, in the order of its validation split.

    Args:
        data: data set of `kerastricks.data.load`.
        count: number of folds, 2 or more.
        seed: seed of the assignment of images to folds.

    Returns:
        `count` arrays of indices into the training images with the validation images after them.

    Raises:
        DataError: see `folds`.
    """
    return _Folds(data, count, seed).parts


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
        images = np.bincount(self.labels, minlength=len(data.class_names))
        fewest = int(images.argmin())
        if images[fewest] < self.count:
            raise DataError(
                f"{data.name}: class {data.class_names[fewest]!r} has {images[fewest]} images for training and "
                f"validation, and {self.count} are needed for {self.count} folds: add images, or take fewer folds"
            )

    @cached_property
    def labels(self) -> np.ndarray:
        """Those of `examples`, without their pixels."""
        return np.concatenate([self.data.labels("train"), self.data.labels("validation")])

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Those of `examples`."""
        train, validation = (self.data.splits[name].examples.groups for name in ("train", "validation"))
        return None if train is None or validation is None else np.concatenate([train, validation])

    @cached_property
    def examples(self) -> Examples:
        return pool(self.data)

    @cached_property
    def parts(self) -> list[np.ndarray]:
        """Indices of the validation images of each fold, sorted."""
        labels, groups = self.labels, self.groups
        if groups is not None:
            part, lacking = divide_groups(labels, groups, [1 / self.count] * self.count, self.seed)
            if lacking is not None:
                raise DataError(
                    f"{self.data.name}: class {self.data.class_names[lacking]!r} is in too few groups for {self.count} "
                    f"folds that share none: take fewer folds, or add groups"
                )
            return [np.flatnonzero(part == number) for number in range(self.count)]
        order = np.lexsort((np.random.default_rng(self.seed).random(len(labels)), labels))
        return [np.sort(order[start :: self.count]) for start in range(self.count)]

    @cached_property
    def decoded(self) -> Decoded | None:
        return originals(self.data, self.examples)

    def statistics(self, index: int) -> PixelStatistics:
        """Statistics of the pixels of a part; those of a training split are their sum."""
        if index not in self.measured:
            part = self.examples.take(self.parts[index])
            self.measured[index] = measure_pixels(
                part, self.data.image_shape, "measuring the folds", silent, self.data.fitting
            )
        return self.measured[index]

    def fold(self, index: int) -> ImageData:
        data, examples = self.data, self.examples
        others = [other for other in range(self.count) if other != index]
        chosen = np.sort(np.concatenate([self.parts[other] for other in others]))
        train = examples.take(chosen)
        validation = examples.take(self.parts[index])
        if isinstance(validation, Files) and isinstance(data.splits["validation"].examples, Arrays):
            validation = decode_into_memory(
                validation, data.image_shape, MEMORY_BYTES, "decoding validation", silent, data.fitting
            )
        statistics = PixelStatistics(data.image_shape[-1])
        for other in others:
            statistics = statistics + self.statistics(other)
        decoded = self.decoded.take(chosen) if self.decoded is not None else None
        which = f"fold {index + 1} of {self.count}"
        return divided(data, train, validation, decoded, statistics, which, f"{which} {self.seed}")

"""Long-tailed subsets of training images: the standard exponential profile, as indices and as data on disk."""

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.sources.packing import pack_images
from kerastricks.data.sources.reading import read_source
from kerastricks.data.sources.source import Files, Source
from kerastricks.data.sources.table import table_source
from kerastricks.data.sources.table_writing import image_path, names_files, write_rows
from kerastricks.errors import DataError
from kerastricks.files import begun_folder, check_new_folder, take_name, written
from kerastricks.progress import Progress, silent

TABLE = "long_tail.csv"
_SHARD_MB = 128.0
_ROUNDING = 1e-9  # of images: 3000 / 3 is 1000, and not 999


@dataclass(frozen=True)
class LongTail:
    """A long-tailed subset that was written.

    Args:
        path: the new folder.
        data: what `kerastricks train` takes: the table in it, or the folder, where it holds packed images.
        name: of the data it was taken from.
        ratio: that was asked for, of the largest class to the smallest one.
        seed: that chose the images.
        class_names: in their order.
        counts: training images of each class.
        short: classes with fewer images than their share, all of which were taken, to (share, images).
        images: how many images each split has.
        skipped: a record for each file that was left out.
    """

    path: str
    data: str
    name: str
    ratio: float
    seed: int
    class_names: tuple[str, ...]
    counts: list[int]
    short: dict[str, tuple[int, int]]
    images: dict[str, int]
    skipped: list[dict[str, str]]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def long_tail_counts(largest: int, class_count: int, ratio: float) -> list[int]:
    """Images of each class of the exponential profile, n_i = floor(n_max * IF^(-i / (C - 1))).

    Args:
        largest: n_max, images of class 0.
        class_count: C, 2 or more.
        ratio: IF, of the largest class to the smallest one, 1 or more.

    Returns:
        C numbers that never rise.

    Raises:
        DataError: for a ratio below 1 or above `largest`, where a class would have no image, or fewer than two classes.

    Example:
        >>> import kerastricks
        >>> counts = kerastricks.data.long_tail_counts(5000, 10, 100)  # CIFAR-10-LT
        >>> counts, sum(counts)
        ([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50], 12406)

    Reference:
        Cui et al.: Class-Balanced Loss Based on Effective Number of Samples, arXiv 1901.05555, section 5.1; Cao et al.:
        Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, arXiv 1906.07413, section 4.
    """
    if class_count < 2:
        raise DataError(f"a long tail needs two or more classes. Received: {class_count}")
    if not 1 <= ratio < math.inf:
        raise DataError(
            f"ratio must be 1 or more, images of the largest class over those of the smallest one. Received: "
            f"ratio={ratio:g}"
        )
    if ratio > largest:
        raise DataError(
            f"ratio must be at most the {largest:,} images of the largest class, or the smallest one would have none. "
            f"Received: ratio={ratio:g}"
        )
    return [math.floor(largest * ratio ** (-i / (class_count - 1)) + _ROUNDING) for i in range(class_count)]


def long_tail_indices(labels: np.ndarray, class_count: int, ratio: float, seed: int = 0) -> np.ndarray:
    """Indices of a long-tailed subset of images, in the order of the classes: class 0 keeps most.

    A class with fewer images than its share, which balanced data do not have, keeps all of them.
    `data.taken(long_tail_indices(data.labels("train"), len(data.class_names), 100))` is a long-tailed `ImageData` that
    shares the pixels.

    Args:
        labels: (N,) integers from 0.
        class_count: C, how many classes there are.
        ratio: of the largest class to the smallest one, 1 or more.
        seed: that chooses the images of each class; another seed chooses others, the numbers stay.

    Returns:
        (M,) int64, rising.

    Raises:
        DataError: see `long_tail_counts`; for a label that is none of the classes.

    Example:
        >>> import kerastricks, numpy
        >>> labels = numpy.repeat([0, 1, 2], 100)
        >>> chosen = kerastricks.data.long_tail_indices(labels, 3, ratio=100)
        >>> numpy.bincount(labels[chosen]).tolist()
        [100, 10, 1]

    Reference:
        See `long_tail_counts`.
    """
    labels = np.asarray(labels)
    if labels.size and not 0 <= labels.min() <= labels.max() < class_count:
        raise DataError(f"labels must be in 0-{class_count - 1}. Received: {labels.min()} to {labels.max()}")
    have = np.bincount(labels, minlength=class_count)
    chosen = []
    for label, share in enumerate(long_tail_counts(int(have.max()), class_count, ratio)):
        own = np.flatnonzero(labels == label)
        order = np.random.default_rng([seed, label]).permutation(len(own))
        chosen.append(own[order[:share]])
    return np.sort(np.concatenate(chosen))


def write_long_tail(
    source: Any,
    out: str | os.PathLike[str],
    *,
    ratio: float = 100.0,
    seed: int = 0,
    max_skipped: float = 0.05,
    progress: Progress = silent,
) -> LongTail:
    """Write a long-tailed subset of the training images of a source, as `kerastricks longtail` does.

    Of images that are files of their own, long_tail.csv in the new folder names those that are left, with label, split,
    and groups and weights where there are some; all others are packed into the new folder as TFRecord shards.
    Validation and test splits stay whole. A source without them is a training split as a whole, of which a training
    makes its own: they have the long tail, too.

    Args:
        source: see `load`.
        out: the folder to make, written atomically.
        ratio: of the largest class to the smallest one, 1 or more.
        seed: that chooses the images.
        max_skipped: the largest fraction of files that may be left out.
        progress: shows how many images are done.

    Raises:
        DataError: for anything wrong with the images or the ratio, or an `out` that is there already.
        WriteError: where it cannot be written.
    """
    path = Path(os.path.expanduser(out))
    check_new_folder(path)
    readable = read_source(
        source, image_size=None, max_pixels=100_000_000, max_skipped=max_skipped, memory_bytes=0, progress=progress
    )
    found = readable.source
    train = found.splits["train"]
    classes = len(found.class_names)
    have = np.bincount(train.labels, minlength=classes)
    shares = long_tail_counts(int(have.max(initial=0)), classes, ratio)
    chosen = long_tail_indices(train.labels, classes, ratio, seed)
    tail = replace(found, splits={**found.splits, "train": train.take(chosen)})
    if names_files(tail):
        with written(path), begun_folder(path.absolute().parent) as begun:
            write_rows(begun / TABLE, *_table(tail))
            table_source(begun / TABLE)  # a class whose name no table can hold is refused here
            take_name(begun, path)
    else:
        pack_images(replace(readable, source=tail), path, "tfrecord", _SHARD_MB, seed, progress)
    return LongTail(
        path=str(path),
        data=str(path / TABLE if names_files(tail) else path),
        name=found.name,
        ratio=float(ratio),
        seed=seed,
        class_names=found.class_names,
        counts=np.bincount(train.labels[chosen], minlength=classes).tolist(),
        short={
            name: (share, int(images))
            for name, share, images in zip(found.class_names, shares, have.tolist(), strict=True)
            if images < share
        },
        images={split: len(examples) for split, examples in tail.splits.items()},
        skipped=readable.skipped,
    )


def _table(source: Source) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]]:
    """Header and rows of a table of images that are files of their own."""
    splits: dict[str, Files] = {split: one for split, one in source.splits.items() if isinstance(one, Files)}
    grouped = any(one.groups is not None for one in splits.values())
    weighted = any(one.weights is not None for one in splits.values())

    def rows() -> Iterator[tuple[str, ...]]:
        for split, one in splits.items():
            for index, label in enumerate(one.labels.tolist()):
                row = [image_path(one, index), source.class_names[label], split]
                row += [str(one.groups[index])] if one.groups is not None else [""] * grouped
                row += [repr(float(one.weights[index]))] if one.weights is not None else ["1"] * weighted
                yield tuple(row)

    header = ("path", "label", "split", *(["group"] if grouped else []), *(["weight"] if weighted else []))
    return header, rows()

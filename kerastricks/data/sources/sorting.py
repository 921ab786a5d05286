"""Rows of large files in the order of a folder of the same images: by split, class and name."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerastricks.data.sources.layout import split_and_class
from kerastricks.data.sources.names import canonical
from kerastricks.data.sources.source import SPLITS, Files, Names, Reader
from kerastricks.errors import DataError

_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Rows:
    """Images as a scan of the files finds them, in the files' order.

    Args:
        names: name of each; None where the files have none.
        codes: (N,) indices of `values`.
        values: labels as the files say them: names, or whole numbers.
        splits: (N,) indices of `SPLITS`.
        columns: `file` (index of the files), `offset` and `size` in bytes; `offset` is -1 where the image is not in
            the file as it is, and `group` and `row` say which row of which row group it is.
        class_names: names of the classes where labels are their numbers; None where the labels are the names.
        photographs: see `Source`.
        groups: (N,) of str, the images' groups; None where they have none.
        weights: (N,) float64, the images' weights; likewise.
    """

    names: list[str] | None
    codes: np.ndarray
    values: list[str] | list[int]
    splits: np.ndarray
    columns: Mapping[str, np.ndarray]
    class_names: tuple[str, ...] | None = None
    photographs: bool = True
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None


def sorted_rows(
    path: Path, rows: Rows, files: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, np.ndarray], dict[str, list[int]]]:
    """Number the classes, and sort the images as a folder of them would be.

    Args:
        path: source, for messages.
        rows: the images.
        files: names of the files they are in, for images whose own names are not all different.

    Returns:
        The names of the classes, the columns of the index, and the first and last row of each split.

    Raises:
        DataError: for no images, or labels that are no classes.
    """
    if not len(rows.codes):
        raise DataError(f"{path}: no images: name files with some")
    own = rows.names if rows.names is not None and _all_differ(rows.names) else None
    class_names, labels = labels_of(path, rows, own)
    names = own if own is not None else _told_apart(rows, [class_names[label] for label in labels.tolist()], files)
    return class_names, *sort_names(rows, names, labels, own is not None)


def _all_differ(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names) and not any("\0" in name for name in names)


def _told_apart(rows: Rows, classes: Sequence[str], files: Sequence[str]) -> list[str]:
    """Names that are all different: with the folders that the images will have come from, else of file and row."""
    inside = [files[number] for number in rows.columns["file"].tolist()]
    if rows.names is not None:
        splits = [SPLITS[split] for split in rows.splits.tolist()]
        for folders in ([classes], [splits, classes], [inside]):
            names = ["/".join(parts) for parts in zip(*folders, rows.names, strict=True)]
            if _all_differ(names):
                return names
    of_files = rows.columns["file"]
    starts = np.searchsorted(of_files, np.arange(len(files)))  # images come in the order of the files
    numbers = np.arange(len(of_files)) - starts[of_files]
    return [f"{file}/{number:08}" for file, number in zip(inside, numbers.tolist(), strict=True)]


def sort_names(
    rows: Rows, names: Sequence[str], labels: np.ndarray, own: bool
) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    """Sort images by split, label and name.

    Args:
        rows: the images.
        names: names that are all different.
        labels: label of each.
        own: whether they are the images' own names: then the splits are in the names' order.

    Returns:
        The columns of the index, and the first and last row of each split.
    """
    count = len(names)
    encoded = [os.fsencode(name) for name in names]
    by_name = np.array(sorted(range(count), key=encoded.__getitem__), np.int64)
    rank = np.empty(count, np.int64)
    rank[by_name] = np.arange(count)
    present = [int(split) for split in np.unique(rows.splits)]
    first = {split: names[by_name[np.argmax(rows.splits[by_name] == split)]] for split in present}
    present.sort(key=lambda split: first[split] if own else SPLITS[split])
    turn = np.zeros(len(SPLITS), np.int64)
    turn[present] = np.arange(len(present))
    order = np.lexsort((rank, labels, turn[rows.splits]))
    text, ends = _joined(encoded[i] for i in order.tolist())
    index = {"text": text, "ends": ends, "lookup": _narrow(np.argsort(rank[order]))}
    index["labels"] = labels[order].astype(np.int32)
    defaults = {"file": 0, "offset": -1, "size": 0, "group": 0, "row": 0}
    for name, default in defaults.items():
        column = rows.columns.get(name)
        index[name] = _narrow(np.full(count, default, np.int64) if column is None else column[order])
    if rows.weights is not None:
        index["weights"] = np.asarray(rows.weights, float)[order]
    if rows.groups is not None:
        numbers: dict[str, int] = {}
        codes = np.array([numbers.setdefault(group, len(numbers)) for group in rows.groups.tolist()], np.int64)
        index["groups"] = _narrow(codes[order])
        index["group_text"], index["group_ends"] = _joined(os.fsencode(group) for group in numbers)
    edges = np.searchsorted(turn[rows.splits][order], np.arange(len(present) + 1))
    return index, {SPLITS[split]: [int(edges[i]), int(edges[i + 1])] for i, split in enumerate(present)}


def _joined(texts: Iterable[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Texts one after another, and where each begins and the last one ends."""
    parts = list(texts)
    ends = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=ends[1:])
    return np.frombuffer(b"".join(parts), np.uint8), _narrow(ends)


def _narrow(column: np.ndarray) -> np.ndarray:
    """Integers in the smallest type of at most 32 bits without a sign, or 64 bits with one, that holds them."""
    if not len(column):
        return column.astype(np.uint8)
    low, high = int(column.min()), int(column.max())
    fitting = (kind for kind in (np.uint8, np.uint16, np.uint32) if low >= 0 and high <= np.iinfo(kind).max)
    return column.astype(next(fitting, np.int64))


def labels_of(path: Path, rows: Rows, names: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes, and the label of each image."""
    train = SPLITS.index("train")
    if not (rows.splits == train).any():
        have = ", ".join(SPLITS[split] for split in np.unique(rows.splits))
        raise DataError(f"{path}: no split train, only {have}: add its files")
    if rows.class_names is not None:
        numbers = np.array([int(value) for value in rows.values], np.int64)
        bad = (numbers < 0) | (numbers >= len(rows.class_names))
        if bad.any():
            wrong = int(numbers[bad][0])
            where = SPLITS[rows.splits[int(np.argmax(bad[rows.codes]))]]
            why = "which stands for no label" if wrong == -1 else f"and there are {len(rows.class_names)} classes"
            raise DataError(f"{path}: label {wrong} in {where}, {why}: give only files whose images have a class")
        return rows.class_names, numbers[rows.codes]
    in_train = set(np.unique(rows.codes[rows.splits == train]).tolist())
    spelled: dict[str, str] = {}
    texts = [str(value) for value in rows.values]
    for text in sorted(texts[code] for code in in_train):
        spelled.setdefault(canonical(text), text)
    class_names = list(spelled.values())
    if all(_INTEGER.fullmatch(name) for name in class_names) and not _of_a_folder(rows, texts, names):
        class_names.sort(key=lambda name: (int(name), len(name)))
    indices = {canonical(name): label for label, name in enumerate(class_names)}
    for code, text in enumerate(texts):
        if canonical(text) not in indices:
            split = SPLITS[rows.splits[int(np.argmax(rows.codes == code))]]
            raise DataError(
                f"{path}: class {text!r} is in {split} but not in train: add images of it to train, or delete it "
                f"from {split}"
            )
    return tuple(class_names), np.array([indices[canonical(text)] for text in texts], np.int64)[rows.codes]


def _of_a_folder(rows: Rows, texts: Sequence[str], names: Sequence[str] | None) -> bool:
    """Whether the images' names are paths that say split and class: then classes are in a folder's order."""
    if names is None or isinstance(rows.values[0], int):
        return False
    say = split_and_class(names)
    facts = zip(names, rows.splits.tolist(), rows.codes.tolist(), strict=True)
    return all(say.get(name) == (SPLITS[split], texts[code]) for name, split, code in facts)


def files_of_splits(
    index: Mapping[str, np.ndarray], spans: Mapping[str, Sequence[int]], reader: Reader
) -> dict[str, Files]:
    """Make the files of each split.

    Names and labels stay where they are, in memory or mapped: neither is copied.

    Args:
        index: columns of the index.
        spans: the first and last row of each split.
        reader: reads the files.
    """
    groups = np.array([], object)
    if "groups" in index:
        groups = np.array([*Names(index["group_text"], index["group_ends"])], object)
    return {
        split: Files(
            Names(index["text"], index["ends"], range(start, stop)),
            index["labels"][start:stop],
            reader,
            groups=groups[index["groups"][start:stop]] if "groups" in index else None,
            weights=index["weights"][start:stop] if "weights" in index else None,
        )
        for split, (start, stop) in spans.items()
    }

"""Tables of paths and labels: one image a row, with or without a header, optionally with splits, groups and weights."""

import csv
import itertools
import math
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from kerastricks.data.sources.folder import FolderReader, is_special
from kerastricks.data.sources.groups import refuse_shared
from kerastricks.data.sources.layout import split_and_class, split_of
from kerastricks.data.sources.names import canonical
from kerastricks.data.sources.source import SPLITS, Files, Source
from kerastricks.errors import DataError

SUFFIXES = {".csv": ",", ".tsv": "\t"}
COLUMNS = {
    "path": ("path", "file", "filename", "filepath", "image", "image_path"),
    "label": ("label", "class", "class_name", "category", "target"),
    "split": ("split", "subset"),
    "group": ("group",),
    "weight": ("weight", "sample_weight"),
}
_SEVERAL = re.compile(r"(?:label|class|target|category)[ _-]?\d+|labels|classes|targets|tags")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d+")
_FRACTION = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=e))(?:e[+-]?\d+)?", re.IGNORECASE)
_MOST_WEIGHT = 1e6
_ONE_EACH = "one class for each image is all there is"


class Row(NamedTuple):
    """One image.

    Args:
        line: where the row ends in the file, from 1.
        name: its path, as the file says it.
        label: its class.
        split: train, validation or test.
        group: what no two splits share, a patient or a product; None without such a column.
        weight: of the image in the loss of a training; None without such a column.
    """

    line: int
    name: str
    label: str
    split: str
    group: str | None = None
    weight: float | None = None


def table_source(path: Path) -> Source:
    """Find the images of a .csv or .tsv.

    Raises:
        DataError: for a file that is no such table, a row that cannot be used, several labels or a number with a
            fraction as a label: with the file and the line.
    """
    rows: list[Row] = []
    known = _KnownFiles(path)
    for row in _read_rows(path):
        row = _with_slashes(path, row)
        known.add(row)
        if is_special(os.path.join(path.parent, row.name)):
            raise DataError(f"{path}, line {row.line}: {row.name} is no file: name image files")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no rows: expected PATH,LABEL on each line")
    # Where the folders say what the rows say, all is in the order of the folder: the same batches and fingerprint.
    folders_say = split_and_class(row.name for row in rows)
    said = [folders_say.get(row.name, ("", "")) for row in rows]
    of_a_folder = [(split, canonical(label)) for split, label in said] == [(r.split, canonical(r.label)) for r in rows]
    if of_a_folder:
        rows = [row._replace(label=label) for row, (_, label) in zip(rows, said, strict=True)]
    class_names = _class_names(path, [row for row in rows if row.split == "train"], of_a_folder)
    numbers = {canonical(name): number for number, name in enumerate(class_names)}
    for row in rows:
        if canonical(row.label) not in numbers:
            raise DataError(
                f"{path}, line {row.line}: class {row.label!r} is in {row.split} but not in train: add images of it to "
                f"train, or delete it from {row.split}"
            )
    reader = FolderReader(path.parent)
    splits = {}
    # Whatever the order of rows.
    for split in dict.fromkeys(folders_say[name][0] for name in sorted(folders_say)) if of_a_folder else sorted(SPLITS):
        chosen = sorted(
            (row for row in rows if row.split == split), key=lambda row: (numbers[canonical(row.label)], row.name)
        )
        if chosen:
            labels = np.array([numbers[canonical(row.label)] for row in chosen], np.int32)
            grouped, weighted = chosen[0].group is not None, chosen[0].weight is not None
            splits[split] = Files(
                [row.name for row in chosen],
                labels,
                reader,
                groups=np.array([row.group for row in chosen], object) if grouped else None,
                weights=np.array([row.weight for row in chosen], float) if weighted else None,
            )
    source = Source(path.stem, class_names, splits)
    refuse_shared(source)
    return source


class _KnownFiles:
    """Real paths of the files of a table, to find one that has two rows, also under two names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        self.real_folders: dict[str, str] = {}

    def add(self, row: Row) -> None:
        """Raises DataError for a file that another row names."""
        folder, name = os.path.split(os.path.normpath(os.path.join(os.path.abspath(self.path.parent), row.name)))
        if folder not in self.real_folders:
            self.real_folders[folder] = os.path.realpath(folder)
        known = self.rows.setdefault(os.path.join(self.real_folders[folder], name), row)
        if known is not row:
            alias = "" if posixpath.normpath(known.name) == posixpath.normpath(row.name) else f" as {known.name}"
            raise DataError(
                f"{self.path}, line {row.line}: {row.name} is on line {known.line} too{alias}: {_ONE_EACH}: delete one "
                f"of them"
            )


def _with_slashes(path: Path, row: Row) -> Row:
    """A row of a table that was written on Windows, unless there is a file of that very name."""
    if "\\" not in row.name or os.path.exists(os.path.join(path.parent, row.name)):
        return row
    return row._replace(name=str(PurePosixPath(row.name.replace("\\", "/"))))


def _read_rows(path: Path) -> Iterator[Row]:
    columns: dict[str, int] | None = None
    width = 0
    for line, cells in _read_cells(path):
        if columns is None:
            width = len(cells)
            columns = _header(path, line, cells)
            if columns is not None:
                continue
            columns = _without_header(path, line, cells)
        if len(cells) != width:
            raise DataError(
                f"{path}, line {line}: {len(cells)} fields, and {width} on the first line: put a path with a comma "
                f'in quotes, "a,b.jpg"'
            )
        values = {column: cells[index] for column, index in columns.items()}
        split = _check_split(path, line, values["split"]) if "split" in values else "train"
        yield Row(
            line,
            _check_name(path, line, values["path"]),
            _check_label(path, line, values["label"]),
            split,
            check_group(f"{path}, line {line}", values["group"]) if "group" in values else None,
            check_weight(f"{path}, line {line}", values["weight"], split) if "weight" in values else None,
        )


def _read_cells(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Line numbers and stripped cells of the rows that are not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=SUFFIXES[path.suffix.lower()], strict=True)
            try:
                for cells in reader:
                    if cells:
                        yield reader.line_num, [cell.strip() for cell in cells]
            except csv.Error as error:
                raise DataError(f"{path}, line {reader.line_num}: {error}: mend the quotes") from None
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}: is not UTF-8 near line {reader.line_num + 1} ({error.reason}): save it as UTF-8"
                ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): give yourself access to it") from None


def _header(path: Path, line: int, cells: Sequence[str]) -> dict[str, int] | None:
    """Find the columns by their names; None where the first row is an image already."""
    names = [cell.lower() for cell in cells]
    if not set(names) & set(COLUMNS["path"]):
        return None
    found = {}
    for column, known in COLUMNS.items():
        indices = [index for index, name in enumerate(names) if name in known]
        several = column == "label" and [cells[i] for i, name in enumerate(names) if _SEVERAL.fullmatch(name)]
        if len(indices) > 1 or several:
            which = ", ".join([repr(cells[index]) for index in indices] + [repr(name) for name in several or ()])
            why = f"multi-label targets are not supported, {_ONE_EACH}" if column == "label" else "one is needed"
            raise DataError(
                f"{path}, line {line}: columns of a {column}: {which}: {why}: leave one called {known[0]!r}"
            )
        if indices:
            found[column] = indices[0]
    if "label" not in found:
        raise DataError(
            f"{path}, line {line}: no column 'label' or 'class' among {', '.join(cells)}: add it; a column for each "
            f"class is multi-label, which is not supported"
        )
    return found


def _without_header(path: Path, line: int, cells: Sequence[str]) -> dict[str, int]:
    """PATH,LABEL or PATH,LABEL,SPLIT."""
    known = "a header has 'path', 'label' and, where there are splits, 'split'"
    if len(cells) == 1:
        other = next((f" (fields are separated by {sign!r} here)" for sign in ";\t," if sign in cells[0]), "")
        raise DataError(f"{path}, line {line}: one field{other}: expected PATH,LABEL with commas; {known}")
    if len(cells) == 3 and split_of(cells[2]) is None:
        raise DataError(
            f"{path}, line {line}: {cells[2]!r} is no split: multi-label targets are not supported, {_ONE_EACH}; "
            f"without a header a row is PATH,LABEL or PATH,LABEL,SPLIT"
        )
    if len(cells) > 3:
        raise DataError(
            f"{path}, line {line}: {len(cells)} fields without a header: multi-label targets are not supported; where "
            f"there are other columns, {known}"
        )
    name = cells[0]
    if not PurePosixPath(name).suffix and "://" not in name and not os.path.exists(os.path.join(path.parent, name)):
        raise DataError(f"{path}, line {line}: {name!r} is neither a file nor a header: {known}")
    return dict(zip(("path", "label", "split"), range(len(cells)), strict=False))


def _check_name(path: Path, line: int, name: str) -> str:
    if not name or "\0" in name:
        raise DataError(
            f"{path}, line {line}: the path is {'damaged' if name else 'empty'}: fill it in or delete the row"
        )
    if _URL.match(name):
        raise DataError(f"{path}, line {line}: {name} is a URL: download the images and give their paths")
    return str(PurePosixPath(name))


def _check_label(path: Path, line: int, label: str) -> str:
    if not label:
        raise DataError(f"{path}, line {line}: the label is empty: fill it in or delete the row")
    for sign in ";|":
        if sign in label:
            raise DataError(
                f"{path}, line {line}: label {label!r} holds {sign!r}: multi-label targets are not supported, "
                f"{_ONE_EACH}: choose it, or write the class without {sign!r}"
            )
    if _FRACTION.fullmatch(label):
        raise DataError(
            f"{path}, line {line}: label {label!r} is a number with a fraction: regression targets are not supported: "
            f"write classes as names or whole numbers"
        )
    return label


def _check_split(path: Path, line: int, cell: str) -> str:
    split = split_of(cell)
    if split is None:
        raise DataError(f"{path}, line {line}: split {cell!r} is none: write train, validation or test")
    return split


def check_group(where: str, cell: str) -> str:
    """Give the group that a cell names.

    Args:
        where: file and row, for messages.
        cell: its text.

    Raises:
        DataError: for an empty one.
    """
    if not cell:
        raise DataError(f"{where}: the group is empty: fill it in; an image of none has a group of its own")
    return cell


def check_weight(where: str, cell: str, split: str) -> float:
    """Give the number of a cell; 1 for an empty one of an image that is not trained on.

    Args:
        where: file and row, for messages.
        cell: its text.
        split: of the row.

    Raises:
        DataError: for text, NaN, and numbers below 0 or from 1e6 on.
    """
    if not cell and split != "train":
        return 1.0
    try:
        weight = float(cell)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < _MOST_WEIGHT:
        raise DataError(f"{where}: weight {cell!r} must be a number from 0 to below 1e6: mend it")
    return weight


def _class_names(path: Path, train: Sequence[Row], of_a_folder: bool) -> tuple[str, ...]:
    """Sort the classes by number where all are numbers, else, and where they are a folder's, by name."""
    spelled: dict[str, str] = {}
    for label in sorted({row.label for row in train}):
        spelled.setdefault(canonical(label), label)
    names = list(spelled.values())
    if not names:
        raise DataError(f"{path}: no row of split train: add some")
    if of_a_folder or not all(_INTEGER.fullmatch(name) for name in names):
        return tuple(names)
    names.sort(key=lambda name: (int(name), len(name)))
    for name, other in itertools.pairwise(names):
        if int(name) == int(other):
            line = next(row.line for row in train if row.label == other)
            raise DataError(f"{path}, line {line}: label {other!r} is {name!r} written otherwise: write one of them")
    return tuple(names)

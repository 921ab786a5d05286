"""Samples of WebDataset tars: the files of a key are an image, its label, and what its `.json` says of it."""

import re
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.sources.names import is_ignored
from kerastricks.data.sources.sorting import Rows
from kerastricks.data.sources.source import SPLITS
from kerastricks.data.sources.table import COLUMNS, check_group, check_weight
from kerastricks.data.sources.tar_headers import AGAIN, TarHeaders
from kerastricks.errors import DataError
from kerastricks.files import parse_json

IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "jpe", "jfif", "tif", "tiff", "heic", "avif", "jxl", "ppm", "img")
LABEL_KEYS = ("label", "cls", "class", "class_name", "fine_label", "category", "target")
_MOST_LABEL_BYTES = 1 << 20
_FRACTION = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_TWICE = -1  # of `_Members`: the member is there already


class Samples:
    """The samples of tars, in their order. Columns hold them: an object each would be half a kilobyte.

    Args:
        label_key: key of the `.json` that holds the label, where the user named it.
    """

    def __init__(self, label_key: str | None) -> None:
        self._named = label_key
        self._keys: list[str] = []
        self._suffixes: list[str] = []  # of the image, as it is spelled
        self._own: dict[int, str] = {}  # names that the .json says
        self._numbers = {name: array("q") for name in ("file", "offset", "size", "code", "split", "members")}
        self._values: dict[str, int] = {}
        self._groups: dict[int, str] = {}
        self._weights: dict[int, float] = {}
        self._members = _Members()
        self._ignored: dict[str, bool] = {}
        self._of_key: dict[str, int] = {}  # in the tar that is read
        self._records: dict[int, dict[str, Any]] = {}  # those without a label that can be used

    def add_tar(self, file: Path, number: int, split: int) -> None:
        """Add the samples of a tar.

        Args:
            file: the tar.
            number: index of the tar.
            split: index of its split in `SPLITS`.

        Raises:
            DataError: for a tar that is cut off or damaged, or a sample that cannot be used.
        """
        first = len(self._keys)
        self._of_key, self._records = {}, {}
        try:
            with TarHeaders(file) as members:
                for name, offset, size in members:
                    self._add(file, number, split, name.removeprefix("./"), offset, size, members.read)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror or error}): give yourself access to it") from None
        self._refuse_incomplete(file, first)
        self._of_key, self._records = {}, {}

    def rows(self, files: Sequence[Path]) -> tuple[Rows, list[str]]:
        """The images with indices of the labels, and the labels."""
        columns = {name: np.frombuffer(column, np.int64) for name, column in self._numbers.items() if column}
        columns = columns or {name: np.zeros(0, np.int64) for name in self._numbers}
        kept = columns["offset"] >= 0  # keys of which only other files are there, such as texts, are no images
        taken = np.flatnonzero(kept)
        chosen = {name: column[taken] for name, column in columns.items()}
        names = [self._own.get(row) or f"{self._keys[row]}.{self._suffixes[row]}" for row in taken.tolist()]
        values = list(self._values)
        rows = Rows(
            names,
            chosen["code"],
            values,
            chosen["split"],
            {name: chosen[name] for name in ("file", "offset", "size")},
            groups=self._complete("group", self._groups, taken, files),
            weights=self._complete("weight", self._weights, taken, files),
        )
        return rows, values

    def _add(
        self, file: Path, number: int, split: int, name: str, offset: int, size: int, read: Callable[[int, int], bytes]
    ) -> None:
        """Add a member to the sample of its key."""
        folder, _, base = name.rpartition("/")
        stem, dot, spelled = base.partition(".")
        if not dot or not stem or self._is_ignored(folder) or is_ignored(base):
            return
        suffix = spelled.lower()
        key = name[: len(name) - len(spelled) - 1]
        row = self._of_key.setdefault(key, len(self._keys))
        numbers = self._numbers
        if row == len(self._keys):
            self._keys.append(key)
            self._suffixes.append("")
            for column, value in (("file", number), ("split", split), ("members", 0)):
                numbers[column].append(value)
            for column in ("offset", "size", "code"):
                numbers[column].append(-1)
        members = self._members.with_one(numbers["members"][row], suffix)
        if members == _TWICE:
            raise DataError(f"{file}: {name} is there twice: {AGAIN}, with a key of its own for each image")
        numbers["members"][row] = members
        if suffix in IMAGES:
            if numbers["offset"][row] >= 0:
                raise DataError(
                    f"{file}: {key}.{self._suffixes[row]} and {name} are two images of one key, {key}: leave one"
                )
            self._suffixes[row], numbers["offset"][row], numbers["size"][row] = spelled, offset, size
        elif suffix in ("cls", "json"):
            if size > _MOST_LABEL_BYTES:
                raise DataError(f"{file}: {name} has {size} bytes, which no label has: {AGAIN}")
            try:
                text = read(offset, size).decode("utf-8-sig")
                record = parse_json(text) if suffix == "json" else None
            except ValueError as error:
                raise DataError(f"{file}: {name} cannot be read ({error}): write it as UTF-8") from None
            if suffix == "json":
                self._add_record(file, row, record if isinstance(record, dict) else {"label": record})
            elif self._named is None:  # before what a .json says
                self._label(row, checked_label(file, name, text.strip()))

    def _add_record(self, file: Path, row: int, record: dict[str, Any]) -> None:
        key, split = self._keys[row], SPLITS[self._numbers["split"][row]]
        own = record.get("path")
        if isinstance(own, str) and own and is_text(own):
            self._own[row] = own
        for name in COLUMNS["group"]:
            if name in record:
                self._groups[row] = _group(f"{file}: {key}.json", record[name])
        weight = next((name for name in COLUMNS["weight"] if name in record), None)
        if weight is not None:
            found = "" if record[weight] is None else str(record[weight])
            self._weights[row] = check_weight(f"{file}: {key}.json", found, split)
        if self._numbers["code"][row] < 0:
            try:
                self._label(row, self._label_of_record(file, key, record))
            except DataError:  # unless a .cls follows, which goes before
                self._records[row] = record

    def _label(self, row: int, text: str) -> None:
        self._numbers["code"][row] = self._values.setdefault(text, len(self._values))

    def _label_of_record(self, file: Path, key: str, record: dict[str, Any]) -> str:
        known = self._named if self._named is not None else next((one for one in LABEL_KEYS if one in record), None)
        if known is None or known not in record:
            have = f"; its .json has {', '.join(record)}: name a key, {file.name}?label=KEY" if record else ""
            missing = "no .cls, and no .json with a label" if self._named is None else f"no {known!r} in its .json"
            raise DataError(f"{file}: {key} has {missing}{have or ': add it'}")
        return checked_label(file, f"{key}.json, {known!r}", record[known])

    def _refuse_incomplete(self, file: Path, first: int) -> None:
        for row in range(first, len(self._keys)):
            has_image, has_label = self._numbers["offset"][row] >= 0, self._numbers["code"][row] >= 0
            key = self._keys[row]
            if not has_label and (has_image or row in self._records):
                self._label_of_record(file, key, self._records.get(row, {}))
            if has_label and not has_image:
                raise DataError(f"{file}: {key} has a label and no image: {AGAIN}")

    def _complete(
        self, what: str, found: dict[int, Any], taken: np.ndarray, files: Sequence[Path]
    ) -> np.ndarray | None:
        """A column of what the `.json` of each image says; None where none says it, DataError where some do not."""
        if not found:
            return None
        train = SPLITS.index("train")
        default = 1.0 if what == "weight" else None  # of an image that is not trained on
        rows = taken.tolist()
        for row in rows:
            if row not in found and (default is None or self._numbers["split"][row] == train):
                file, key = files[self._numbers["file"][row]], self._keys[row]
                raise DataError(f"{file}: {key} has no {what!r} in its .json, which others have: add it")
        return np.array([found.get(row, default) for row in rows], object if default is None else float)

    def _is_ignored(self, folder: str) -> bool:
        known = self._ignored.get(folder)
        if known is None:
            known = self._ignored[folder] = any(is_ignored(part) for part in folder.split("/"))
        return known


class _Members:
    """Sets of suffixes as numbers: a million samples have a handful of them."""

    def __init__(self) -> None:
        self._sets: list[frozenset[str]] = [frozenset()]
        self._numbers = {frozenset[str](): 0}
        self._next: dict[tuple[int, str], int] = {}

    def with_one(self, number: int, suffix: str) -> int:
        """The number of a set and one suffix more; -1 where it has it."""
        found = self._next.get((number, suffix))
        if found is None:
            more = self._sets[number] | {suffix}
            if len(more) == len(self._sets[number]):
                found = _TWICE
            else:
                found = self._numbers.setdefault(more, len(self._sets))
                if found == len(self._sets):
                    self._sets.append(more)
            self._next[number, suffix] = found
        return found


def checked_label(file: Path, where: str, found: Any) -> str:
    """Give the text of a label.

    Args:
        file: the tar, for messages.
        where: what says the label, for messages.
        found: label as it stands there.

    Raises:
        DataError: for a fraction, a list, and what is neither a name nor a whole number.
    """
    if isinstance(found, bool) or not isinstance(found, str | int | float | list):
        raise DataError(f"{file}: {where}: {found!r} is no label: write a name or a whole number")
    if isinstance(found, float) or (isinstance(found, str) and _FRACTION.fullmatch(found)):
        raise DataError(f"{file}: {where}: {found} is a fraction: regression targets are not supported")
    if isinstance(found, list):
        raise DataError(f"{file}: {where}: a list: multi-label targets are not supported: give one class")
    text = str(found).strip()
    if not text or not is_text(text):
        what = "no valid text" if text else "empty"
        raise DataError(f"{file}: {where}: the label is {what}: fill it in or leave the image out")
    return text


def _group(where: str, found: Any) -> str:
    if isinstance(found, bool) or not isinstance(found, str | int | None):
        raise DataError(f"{where}: group {found!r} is neither a name nor a whole number: mend it")
    text = "" if found is None else str(found).strip()
    if not is_text(text):
        raise DataError(f"{where}: the group is no valid text: mend it")
    return check_group(where, text)


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON may have halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

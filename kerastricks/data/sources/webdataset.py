"""WebDataset: tars with an image and its label side by side, `KEY.jpg` and `KEY.cls` or `KEY.json`, read unpacked."""

import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.sources.extents import ExtentReader, Rows, indexed_source
from kerastricks.data.sources.large_files import splits_of_files
from kerastricks.data.sources.names import is_ignored
from kerastricks.data.sources.source import SPLITS, Source
from kerastricks.errors import DataError
from kerastricks.files import parse_json, read_json

SUFFIX = ".tar"
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")  # compressed ones are refused by name
CLASSES = "classes.json"
CLASSES_TEXT = "classes.txt"
IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "jpe", "jfif", "tif", "tiff", "heic", "avif", "jxl", "ppm", "img")
LABEL_KEYS = ("label", "cls", "class", "class_name", "fine_label", "category", "target")
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
_MOST_LABEL_BYTES = 1 << 20
_INTEGER = re.compile(r"[+-]?\d+")
_FRACTION = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_AGAIN = "copy or make it again"


@dataclass(slots=True)
class _Sample:
    """The files of a key: where its image is, and its label as they say it."""

    image: tuple[str, int, int] | None = None  # name, offset, bytes
    text: str | None = None  # of the .cls
    record: dict[str, Any] | None = None  # of the .json
    members: set[str] = field(default_factory=set)


def webdataset_source(path: Path, files: Sequence[Path], columns: Mapping[str, str]) -> Source:
    """Find the images of WebDataset tars.

    Args:
        path: what the user named: a tar, a folder or a pattern.
        files: the tars.
        columns: `label`, the key of the `.json` that holds the label, where the user named it.

    Raises:
        DataError: for a tar that is compressed, cut off or damaged, an image without a label or a label without an
            image, a key that is there twice, labels that are no classes.
    """
    if set(columns) - {"label"}:
        raise DataError(f"{path}: ?label=KEY names the key of the .json; an image is named by its suffix in a tar")
    for file in files:
        _refuse_compressed(file)
    splits = splits_of_files(path, files)
    folder = path if path.is_dir() else files[0].parent
    class_names, photographs, stamp = _class_names(folder)

    def scan() -> Rows:
        return _rows(path, files, splits, columns.get("label"), class_names, photographs)

    # The names of classes are a part of the index.
    return indexed_source(path, files, SUFFIX, {**columns, CLASSES: stamp}, scan, ExtentReader)


def _refuse_compressed(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            head = opened.read(8)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}): give yourself access to it") from None
    for magic, command in _COMPRESSED.items():
        if head.startswith(magic):
            raise DataError(
                f"{file}: is compressed, and no image in it can be read without all before it: {command} it (images "
                f"are hardly larger then)"
            )


def _class_names(folder: Path) -> tuple[tuple[str, ...] | None, bool, str]:
    """Class names beside the tars, whether the images are photographs, and a text that changes with them."""
    try:
        found = read_json(folder / CLASSES)
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / CLASSES}: cannot be read ({error}): mend or delete it") from None
    photographs = True
    if found is None:
        try:
            text = (folder / CLASSES_TEXT).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return None, True, ""
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / CLASSES_TEXT}: cannot be read ({error}): mend or delete it") from None
        names = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        if isinstance(found, dict) and "class_names" in found:
            photographs = bool(found.get("photographs", True))
            found = found["class_names"]
        if isinstance(found, dict):  # names to numbers, or numbers to names
            turned = {str(v): k for k, v in found.items()} if _is_numbers(found.values()) else found
            found = [turned.get(str(number)) for number in range(len(found))]
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise DataError(f"{folder / CLASSES}: expected a list of names, or names with numbers from 0: mend it")
        names = found
    if len(set(names)) < len(names) or not names:
        raise DataError(f"{folder}: a class is twice in {CLASSES if found else CLASSES_TEXT}, or none is: mend it")
    return tuple(names), photographs, json.dumps([names, photographs])


def _is_numbers(values: Any) -> bool:
    return all(isinstance(value, int) for value in values)


def _rows(
    path: Path,
    files: Sequence[Path],
    splits: Sequence[str],
    key: str | None,
    class_names: tuple[str, ...] | None,
    photographs: bool,
) -> Rows:
    names: list[str] = []
    labels: list[str] = []
    columns: dict[str, list[int]] = {"file": [], "offset": [], "size": []}
    of_split: list[int] = []
    for number, (file, split) in enumerate(zip(files, splits, strict=True)):
        for sample_key, sample in _samples(file).items():
            label = _label(file, sample_key, sample, key)
            if sample.image is None:
                raise DataError(f"{file}: {sample_key} has a label and no image: {_AGAIN}")
            name, offset, size = sample.image
            own = sample.record.get("path") if sample.record else None
            names.append(own if isinstance(own, str) and own and _is_text(own) else name)
            labels.append(label)
            columns["file"].append(number)
            columns["offset"].append(offset)
            columns["size"].append(size)
            of_split.append(SPLITS.index(split))
    values = list(dict.fromkeys(labels))
    numbers = {value: number for number, value in enumerate(values)}
    codes = np.array([numbers[label] for label in labels], np.int64)
    typed: list[str] | list[int] = values
    if class_names is not None:
        by_name = {name: number for number, name in enumerate(class_names)}
        # A class may be called by its name or by its number.
        typed = [by_name[value] if value in by_name else _number(path, value) for value in values]
    elif values and all(_INTEGER.fullmatch(value) for value in values):
        typed = [int(value) for value in values]
    return Rows(
        names,
        codes,
        typed,
        np.array(of_split, np.int64),
        {name: np.array(column, np.int64) for name, column in columns.items()},
        class_names,
        photographs,
    )


def _number(path: Path, label: str) -> int:
    if not _INTEGER.fullmatch(label):
        raise DataError(f"{path}: class {label!r} is not among those of {CLASSES} or {CLASSES_TEXT}: add it")
    return int(label)


def _samples(file: Path) -> dict[str, _Sample]:
    """The samples of a tar by their keys, in its order."""
    samples: dict[str, _Sample] = {}
    end = 0
    try:
        with tarfile.open(file, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                end = max(end, member.offset_data + (-(-member.size // 512) * 512 if member.isreg() else 0))
                if not member.isreg():
                    continue
                name = member.name.removeprefix("./")
                folder, _, base = name.rpartition("/")
                stem, dot, suffix = base.partition(".")
                if not dot or not stem or any(is_ignored(part) for part in name.split("/")):
                    continue
                if member.issparse():
                    raise DataError(f"{file}: {name} is stored with holes: make the tar again without --sparse")
                key = f"{folder}/{stem}" if folder else stem
                _add(file, samples.setdefault(key, _Sample()), key, suffix.lower(), name, member, tar.fileobj)
        _refuse_cut(file, end)
    except tarfile.TarError as error:
        raise DataError(f"{file}: cannot be read as a tar ({error}; cut off or damaged): {_AGAIN}") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error}): give yourself access to it") from None
    # Keys of which only other files are there, such as texts, are no images.
    return {key: sample for key, sample in samples.items() if sample.image or sample.text or sample.record}


def _refuse_cut(file: Path, end: int) -> None:
    """Raises DataError for a tar without its end, two blocks of zeros: more may have followed."""
    with file.open("rb") as opened:
        opened.seek(end)
        if opened.read(512) != bytes(512):
            raise DataError(f"{file}: is cut off after {end} bytes, where its end should be: {_AGAIN}")


def _add(file: Path, sample: _Sample, key: str, suffix: str, name: str, member: tarfile.TarInfo, opened: Any) -> None:
    """Add a file of a key to its sample."""
    if suffix in sample.members:
        raise DataError(f"{file}: {name} is there twice: {_AGAIN}, with a key of its own for each image")
    sample.members.add(suffix)
    if suffix in IMAGES:
        if sample.image is not None:
            raise DataError(f"{file}: {sample.image[0]} and {name} are two images of one key, {key}: leave one")
        sample.image = (name, member.offset_data, member.size)
    elif suffix in ("cls", "json"):
        if member.size > _MOST_LABEL_BYTES:
            raise DataError(f"{file}: {name} has {member.size} bytes, which no label has: {_AGAIN}")
        before = opened.tell()
        opened.seek(member.offset_data)
        contents = opened.read(member.size)
        opened.seek(before)
        try:
            text = contents.decode("utf-8-sig")
            if suffix == "cls":
                sample.text = text.strip()
            else:
                record = parse_json(text)
                sample.record = record if isinstance(record, dict) else {"label": record}
        except ValueError as error:
            raise DataError(f"{file}: {name} cannot be read ({error}): write it as UTF-8") from None


def _label(file: Path, key: str, sample: _Sample, named: str | None) -> str:
    """The label of a sample: of its .cls, or of a key of its .json."""
    if named is None and sample.text is not None:
        found: Any = sample.text
        where = f"{key}.cls"
    else:
        record = sample.record or {}
        known = named if named is not None else next((one for one in LABEL_KEYS if one in record), None)
        if known is None or known not in record:
            have = f"; its .json has {', '.join(record)}: name a key, {file.name}?label=KEY" if record else ""
            missing = "no .cls, and no .json with a label" if named is None else f"no {named!r} in its .json"
            raise DataError(f"{file}: {key} has {missing}{have or ': add it'}")
        found, where = record[known], f"{key}.json, {known!r}"
    if isinstance(found, bool) or not isinstance(found, str | int | float | list):
        raise DataError(f"{file}: {where}: {found!r} is no label: write a name or a whole number")
    if isinstance(found, float) or (isinstance(found, str) and _FRACTION.fullmatch(found)):
        raise DataError(f"{file}: {where}: {found} is a fraction: regression targets are not supported")
    if isinstance(found, list):
        raise DataError(f"{file}: {where}: a list: multi-label targets are not supported: give one class")
    text = str(found).strip()
    if not text or not _is_text(text):
        what = "no valid text" if text else "empty"
        raise DataError(f"{file}: {where}: the label is {what}: fill it in or leave the image out")
    return text


def _is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON may have halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

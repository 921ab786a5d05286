"""WebDataset: tars with an image and its label side by side, `KEY.jpg` and `KEY.cls` or `KEY.json`, read unpacked."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerastricks.data.sources.extents import ExtentReader, indexed_source
from kerastricks.data.sources.large_files import splits_of_files
from kerastricks.data.sources.samples import Samples
from kerastricks.data.sources.sorting import Rows
from kerastricks.data.sources.source import SPLITS, Source
from kerastricks.errors import DataError
from kerastricks.files import read_json

SUFFIX = ".tar"
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")  # compressed ones are refused by name
CLASSES = "classes.json"
CLASSES_TEXT = "classes.txt"
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
_INTEGER = re.compile(r"[+-]?\d+")


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
    samples = Samples(key)
    for number, (file, split) in enumerate(zip(files, splits, strict=True)):
        samples.add_tar(file, number, SPLITS.index(split))
    rows, values = samples.rows(files)
    typed: list[str] | list[int] = values
    if class_names is not None:
        by_name = {name: number for number, name in enumerate(class_names)}
        # A class may be called by its name or by its number.
        typed = [by_name[value] if value in by_name else _number(path, value) for value in values]
    elif values and all(_INTEGER.fullmatch(value) for value in values):
        typed = [int(value) for value in values]
    return replace(rows, values=typed, class_names=class_names, photographs=photographs)


def _number(path: Path, label: str) -> int:
    if not _INTEGER.fullmatch(label):
        raise DataError(f"{path}: class {label!r} is not among those of {CLASSES} or {CLASSES_TEXT}: add it")
    return int(label)

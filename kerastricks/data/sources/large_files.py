"""Large files that belong together: patterns and folders of them, their splits, and columns named after a `?`."""

import glob
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from kerastricks.data.sources.layout import split_of
from kerastricks.data.sources.names import is_ignored
from kerastricks.errors import DataError

_NUMBERED = re.compile(r"(?:[-_.]?\d+(?:[-_]of[-_]\d+)?)+$", re.IGNORECASE)
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def split_columns(source: str | os.PathLike[str]) -> tuple[str, dict[str, str]]:
    """Split "FILE.parquet?image=IMG&label=LAB" into the path and the named columns.

    Raises:
        DataError: for something other than image, label and split.
    """
    text = os.fspath(source)
    if "?" not in text or os.path.lexists(os.path.expanduser(text)):
        return text, {}
    path, _, query = text.rpartition("?")
    columns = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if name not in ("image", "label", "split") or not equals or not value:
            raise DataError(f"{text}: {part!r} names no column: write {path}?image=COLUMN&label=COLUMN&split=COLUMN")
        columns[name] = value
    return path, columns


def expand(text: str, suffixes: Sequence[str]) -> list[Path]:
    """Files of a pattern, "train-{000..012}.tar" or "data/*.parquet"; none where it is no pattern.

    Raises:
        DataError: for a file of a range that is missing, or a pattern that nothing matches.
    """
    text = os.path.expanduser(text)
    if not text.lower().endswith(tuple(suffixes)) or os.path.lexists(text):
        return []
    pieces = _BRACES.split(text)
    if len(pieces) > 1:
        ranges = [
            [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
            for first, last in zip(pieces[1::3], pieces[2::3], strict=True)
        ]
        files = [
            Path("".join(itertools.chain.from_iterable(zip(pieces[::3], (*chosen, ""), strict=True))))
            for chosen in itertools.product(*ranges)
        ]
        for file in files:
            if not file.is_file():
                raise DataError(f"{file}: no such file, and {text} names it: bring it back, or name a shorter range")
        return files
    if "*" not in text:
        return []
    files = sorted(Path(match) for match in glob.glob(glob.escape(text).replace("[*]", "*")) if os.path.isfile(match))
    if not files:
        raise DataError(f"{text}: no file matches: name files that are there")
    return files


def files_inside(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files of these suffixes in a folder, or in the folders right inside it; none where it is another kind's.

    A folder of classes beside them makes it a folder of images.
    """
    files, inner = _listed(folder, suffixes)
    for sub in inner:
        found, deeper = _listed(sub, suffixes)
        if not found or deeper:
            return []
        files += found
    return sorted(files)


def _listed(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[Path]]:
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_ignored(entry.name):
                    continue
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif entry.name.lower().endswith(tuple(suffixes)):
                    files.append(Path(entry.path))
    except OSError:
        return [], []
    return files, folders


def splits_of_files(path: Path, files: Sequence[Path]) -> list[str]:
    """Split of each file, by its name or its folder's: `train-00000-of-00003.tar`, `train/*.parquet`.

    Raises:
        DataError: for a split that is in two places, or files of which only some name a split.
    """
    names = shard_names(path, files)
    splits: list[str | None] = []
    places: dict[str, tuple[str, str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        stem = _NUMBERED.sub("", file.split(".")[0])
        words = re.split(r"[-_.]", stem)
        split = split_of(stem) or split_of(words[-1]) or split_of(words[0])
        split = split or split_of(folder.rpartition("/")[2])
        splits.append(split)
        place = (folder, stem)
        if split is not None and places.setdefault(split, place) != place:
            one, other = ("/".join(part for part in pair if part) for pair in (places[split], place))
            raise DataError(f"{path}: {split} is there twice, as {one} and as {other}: give one of them")
    if any(splits) and not all(splits):
        odd = names[splits.index(None)]
        raise DataError(f"{path}: {odd} is beside train and is no split: name it validation or test, or move it")
    # One file is all there is, whatever its name; so are those of one split.
    return ["train"] * len(files) if len(set(splits)) == 1 else [str(split) for split in splits]


def shard_names(path: Path, files: Sequence[Path]) -> list[str]:
    """Names of files relative to the source's folder, with forward slashes."""
    root = path if path.is_dir() else Path(os.path.commonpath([file.absolute().parent for file in files]))
    return [Path(os.path.relpath(file, root)).as_posix() for file in files]


def source_name(path: Path) -> str:
    """Short name of files or a folder, without what numbers the files."""
    name = _NUMBERED.sub("", path.stem.split("{")[0].split("*")[0]) if path.suffix else path.name
    return name.rstrip("-_.") or path.absolute().parent.name

"""Tables of images that are files of their own, as `kerastricks train` reads them."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.source import Files, Source


def names_files(source: Source) -> bool:
    """Whether a table can name the images of a source: they are files of their own."""
    return all(isinstance(one, Files) and isinstance(one.reader, FolderReader) for one in source.splits.values())


def image_path(files: Files, index: int) -> str:
    """The absolute path of an image of a folder."""
    return os.path.normpath(os.path.join(os.path.abspath(files.reader.path), files.names[index]))


def write_rows(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a table as CSV in UTF-8."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])

"""Folders of TFRecord shards with an index, as `pack` writes them: an image is read with one seek."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.sources.names import is_ignored
from kerastricks.data.sources.source import SPLITS, Files, Source
from kerastricks.errors import DataError
from kerastricks.files import read_json

INDEX = "index.json"
FORMAT = "kerastricks-shards"
VERSION = 1
COLUMNS = ("offsets", "labels", "image_offsets", "image_bytes", "image_crc32")
_AGAIN = "copy or pack it again"


class ShardReader:
    """Reader of images in shards, by their names.

    Args:
        path: the folder.
        shards: names of the shard files.
        records: name of an image to (shard, record, offset, bytes, CRC-32), the first an index of `shards`.
    """

    def __init__(self, path: Path, shards: list[str], records: Mapping[str, tuple[int, int, int, int, int]]) -> None:
        self.path = path
        self.shards = shards
        self.records = records

    def read(self, name: str) -> bytes:
        """Read one image; its checksum is compared.

        Raises:
            OSError: where the shard is cut off or the bytes are others than were packed: names shard and record.
        """
        shard, record, offset, size, checksum = self.records[name]
        # Opened each time: thousands of shards would be more than a process may hold open.
        with open(self.path / self.shards[shard], "rb", buffering=0) as file:
            file.seek(offset)
            contents = file.read(size)
        if len(contents) < size:
            raise OSError(f"{self.shards[shard]} is cut off before the end of record {record}")
        if zlib.crc32(contents) != checksum:
            raise OSError(f"checksum mismatch in {self.shards[shard]}, record {record}")
        return contents


def is_shards_folder(path: Path) -> bool:
    """Whether a folder holds shards: an index that says so, or TFRecord files and no folders of classes."""
    try:
        with (path / INDEX).open("rb") as file:
            if FORMAT.encode() in file.read(200):
                return True
    except OSError:
        pass
    return bool(list(path.glob("*.tfrecord*"))) and not any(
        inside.is_dir() and not is_ignored(inside.name) for inside in path.iterdir()
    )


def shards_source(path: Path) -> Source:
    """Find the images of a folder that `pack` wrote.

    Raises:
        DataError: for TFRecord files of others, a damaged index, or a shard that is missing.
    """
    try:
        index = read_json(path / INDEX)
    except FileNotFoundError:
        raise DataError(
            f"{path}: TFRecord files without {INDEX}: only what `kerastricks pack DATA OUT` wrote can be read; pack "
            f"the images they were made of"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path / INDEX}: cannot be read ({error}): {_AGAIN}") from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DataError(f"{path / INDEX}: was not written by `kerastricks pack`: give the images instead")
    if index.get("version") != VERSION:
        raise DataError(
            f"{path / INDEX}: version {index.get('version')!r} of the format, and {VERSION} is known: use the "
            f"kerastricks that wrote it, or pack the images again"
        )
    try:
        return _source(path, index)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path / INDEX}: is damaged ({type(error).__name__}: {error}): {_AGAIN}") from None


def _source(path: Path, index: dict[str, Any]) -> Source:
    class_names = tuple(str(name) for name in index["class_names"])
    shards: list[str] = []
    records: dict[str, tuple[int, int, int, int, int]] = {}
    splits = {}
    reader = ShardReader(path, shards, records)
    if "train" not in index["splits"] or not set(index["splits"]) <= set(SPLITS):
        raise ValueError(f"splits {', '.join(index['splits'])}")
    for split, record in index["splits"].items():
        names: list[str] = []
        labels: list[int] = []
        more: dict[str, list[Any]] = {"groups": [], "weights": []}
        for shard in record["shards"]:
            columns = _columns(path, shard, len(class_names))
            image_columns = (columns[name].tolist() for name in ("image_offsets", "image_bytes", "image_crc32"))
            for number, (name, *where) in enumerate(zip(shard["names"], *image_columns, strict=True)):
                records[str(name)] = (len(shards), number, *where)
            shards.append(shard["file"])
            names += shard["names"]
            labels += columns["labels"].tolist()
            for column, values in more.items():
                values += shard.get(column, ())
        # The order of the folder that was packed, so that the shards give its batches and its fingerprint.
        order = sorted(range(len(names)), key=lambda i: (labels[i], names[i]))
        if any(len(values) not in (0, len(names)) for values in more.values()):
            raise ValueError("columns of several lengths")
        splits[split] = Files(
            [names[i] for i in order],
            np.array(labels, np.int32)[order],
            reader,
            groups=np.array([str(group) for group in more["groups"]], object)[order] if more["groups"] else None,
            weights=np.array(more["weights"], float)[order] if more["weights"] else None,
        )
    if len(records) != sum(len(files) for files in splits.values()):
        raise ValueError("a name is there twice")
    return Source(path.name, class_names, splits, photographs=bool(index["photographs"]))


def _columns(path: Path, shard: dict[str, Any], classes: int) -> dict[str, np.ndarray]:
    file = str(shard["file"])
    if Path(file).name != file:
        raise ValueError(f"{file!r} is no file beside it")
    if not (path / file).is_file():
        raise DataError(f"{path / file}: is missing: {_AGAIN}")
    columns = {name: np.array(shard[name], np.int64) for name in COLUMNS}
    if {len(column) for column in columns.values()} != {int(shard["records"])}:
        raise ValueError(f"{file}: columns of several lengths")
    labels = columns["labels"]
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(f"{file}: label {labels.max()} of {classes} classes")
    if labels.size and (
        min(column.min() for column in columns.values()) < 0
        or (columns["image_offsets"] + columns["image_bytes"]).max() > int(shard["bytes"])
    ):
        raise ValueError(f"{file}: an image outside of it")
    return columns

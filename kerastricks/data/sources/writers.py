"""Writers of packed images: TFRecord shards with an index, WebDataset tars, Parquet files."""

import abc
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks.data.sources import webdataset
from kerastricks.data.sources.names import is_ignored
from kerastricks.data.sources.samples import IMAGES
from kerastricks.data.sources.shards import FORMAT, INDEX, VERSION
from kerastricks.errors import DataError
from kerastricks.files import sync, write_json

_FRAME_BYTES = 12  # before a record of TFRecord: its length and the length's checksum; 4 more follow it
_GROUP_BYTES, _GROUP_ROWS = 4 << 20, 1000  # of a row group of Parquet
# How the bytes of images begin, for names that do not say it.
_SUFFIXES = {b"\xff\xd8": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp", b"RIFF": "webp"}


class ShardWriter(abc.ABC):
    """Base of what writes the images of each split into as many files as they need.

    Args:
        folder: folder to write into.
        name: name of the source.
        class_names: names of the classes.
        photographs: whether the images came as files.
        shard_bytes: largest size of a file; one larger image makes a larger file.

    Attributes:
        splits: split to its files: `file`, `bytes`, and what the format adds.
    """

    suffix = ""
    _open: Any = None  # with a method `close`

    def __init__(
        self, folder: Path, name: str, class_names: tuple[str, ...], photographs: bool, shard_bytes: float
    ) -> None:
        self.folder = folder
        self.name = name
        self.class_names = class_names
        self.photographs = photographs
        self.shard_bytes = shard_bytes
        self.splits: dict[str, list[dict[str, Any]]] = {}
        self.offset = 0  # in the open file, about
        self._split = ""

    def begin(self, split: str) -> None:
        """Begin a split."""
        self._split = split
        self.splits[split] = []

    @abc.abstractmethod
    def write(self, name: str, label: int, contents: bytes, more: Mapping[str, Any]) -> None:
        """Write an image.

        Args:
            name: name of the image.
            label: number of its class.
            contents: its bytes.
            more: `group` and `weight`, where the source has them: all images of a split then do.
        """

    def flush(self) -> None:  # noqa: B027 - most hold nothing back
        """Write what is held back."""

    def close(self) -> None:
        """Close the open file, if there is one."""
        if self._open is not None:
            self.flush()
            self._open.close()
            self._open = None

    def end(self) -> None:
        """End a split: its files get their names, now that their number is known."""
        self.close()
        shards = self.splits[self._split]
        for number, shard in enumerate(shards):
            name = f"{self._split}-{number:05}-of-{len(shards):05}{self.suffix}"
            os.rename(self.folder / shard["file"], self.folder / name)
            sync(self.folder / name)
            shard["file"], shard["bytes"] = name, (self.folder / name).stat().st_size

    def finish(self) -> None:  # noqa: B027 - Parquet has nothing beside
        """Write what stands beside the files."""

    def is_full(self, size: int) -> bool:
        """Whether bytes more need another file."""
        return not self.splits[self._split] or (self.offset > 0 and self.offset + size > self.shard_bytes)

    def next_file(self) -> Path:
        """Close the open file and begin the next one."""
        self.close()
        shards = self.splits[self._split]
        shards.append({"file": f"{self._split}-{len(shards):05}"})
        self.offset = 0
        return self.folder / shards[-1]["file"]


class TFRecordWriter(ShardWriter):
    """Writer of TFRecord shards with an index, which has the offset of each image."""

    suffix = ".tfrecord"

    def write(self, name: str, label: int, contents: bytes, more: Mapping[str, Any]) -> None:
        """Write an image as a `tf.train.Example`."""
        record = tf.train.Example(
            features=tf.train.Features(
                feature={
                    "image/encoded": _bytes(contents),
                    "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                    "image/class/text": _bytes(os.fsencode(self.class_names[label])),
                    "image/filename": _bytes(os.fsencode(name)),
                }
            )
        ).SerializeToString(deterministic=True)
        size = _FRAME_BYTES + len(record) + 4
        if self.is_full(size):
            self._open = tf.io.TFRecordWriter(str(self.next_file()))
            self.splits[self._split][-1] |= {"records": 0, "bytes": 0, "sha256": ""} | {
                column: [] for column in ("offsets", "labels", "names", "image_offsets", "image_bytes", "image_crc32")
            }
        self._open.write(record)
        shard = self.splits[self._split][-1]
        shard["offsets"].append(self.offset)
        shard["labels"].append(label)
        shard["names"].append(name)
        # The offset of the image, so that reading it parses nothing.
        shard["image_offsets"].append(self.offset + _FRAME_BYTES + record.index(contents))
        shard["image_bytes"].append(len(contents))
        shard["image_crc32"].append(zlib.crc32(contents))
        for column, value in more.items():
            shard.setdefault(f"{column}s", []).append(value)
        self.offset += size

    def finish(self) -> None:
        """Write the index."""
        splits = {}
        for split, shards in self.splits.items():
            for shard in shards:
                with (self.folder / shard["file"]).open("rb") as file:
                    shard["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
                shard["records"] = len(shard["names"])
            labels = [label for shard in shards for label in shard["labels"]]
            splits[split] = {
                "records": len(labels),
                "class_counts": np.bincount(labels, minlength=len(self.class_names)).tolist(),
                "shards": shards,
            }
        record = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "class_names": list(self.class_names),
            "photographs": self.photographs,
            "splits": splits,
        }
        write_json(self.folder / INDEX, record, indent=None, durable=True)


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


class TarWriter(ShardWriter):
    """Writer of WebDataset tars: `KEY.jpg` and `KEY.cls` with the number of the class.

    The key is the image's name without its suffix. A name that a tar cannot keep so (a dot more, another suffix) is in
    a `KEY.json` as `path`, and so are `group` and `weight`.
    """

    suffix = webdataset.SUFFIX
    _number = 0

    def begin(self, split: str) -> None:
        """Begin a split."""
        super().begin(split)
        self._keys: set[str] = set()

    def write(self, name: str, label: int, contents: bytes, more: Mapping[str, Any]) -> None:
        """Write an image, its label, its group and its weight."""
        key, suffix = _key_and_suffix(name)
        members, record = {}, {"label": label, **more}
        self._number += 1
        if suffix not in IMAGES or key in self._keys or not key:
            suffix = next((found for head, found in _SUFFIXES.items() if contents.startswith(head)), "img")
            key = f"renamed/{self._number:08}"
            record["path"] = name
            name = f"{key}.{suffix}"
        self._keys.add(key)
        if len(record) > 1:
            members["json"] = json.dumps(record).encode()
        members["cls"] = str(label).encode()
        files = [(name, contents), *((f"{key}.{suffix}", text) for suffix, text in members.items())]
        size = sum(512 + -(-len(part) // 512) * 512 for _, part in files)
        if self.is_full(size):
            self._open = tarfile.open(self.next_file(), "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - see close
        for member_name, part in files:
            member = tarfile.TarInfo(member_name)
            member.size = len(part)
            self._open.addfile(member, io.BytesIO(part))
        self._open.members = []  # it would keep all of them
        self.offset += size

    def finish(self) -> None:
        """Write the names of the classes."""
        record = {"class_names": list(self.class_names), "photographs": self.photographs}
        write_json(self.folder / webdataset.CLASSES, record, indent=None, durable=True)


def _key_and_suffix(name: str) -> tuple[str, str]:
    """Key and suffix of a name; no key for one that a tar cannot keep."""
    base = name.rpartition("/")[2]
    parts = name.split("/")
    plain = base.count(".") == 1 and all(part and part != ".." and not is_ignored(part) for part in parts)
    stem, _, suffix = name.rpartition(".")
    return (stem, suffix.lower()) if plain and not parts[0].startswith("renamed") else ("", "")


class ParquetWriter(ShardWriter):
    """Writer of Parquet files as Hugging Face's datasets writes them: `image` with bytes and path, and `label`.

    Groups and weights are columns of their own.

    Nothing is compressed, since images are: so each can be read by its offset.
    """

    suffix = ".parquet"
    _rows: list[tuple[str, int, bytes, Mapping[str, Any]]]
    _held = 0

    def write(self, name: str, label: int, contents: bytes, more: Mapping[str, Any]) -> None:
        """Write an image, its label, its group and its weight."""
        import pyarrow.parquet as pq

        try:
            size = len(contents) + len(name.encode()) + len(str(more.get("group", "")).encode()) + 16
        except UnicodeEncodeError:
            raise DataError(
                f"{name!r} is not valid UTF-8, as Parquet wants names and groups: rename it, or pack as tfrecord"
            ) from None
        if self.is_full(size):
            file = self.next_file()
            self._schema = self._make_schema(more)
            self._open = pq.ParquetWriter(
                file, self._schema, compression="none", use_dictionary=False, write_statistics=["label"]
            )
            self._rows = []
        self._rows.append((name, label, contents, more))
        self._held += size
        self.offset += size
        if self._held >= _GROUP_BYTES or len(self._rows) >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are held as a row group."""
        import pyarrow as pa

        if self._rows:
            schema = self._schema
            images = [{"bytes": contents, "path": name} for name, _, contents, _ in self._rows]
            columns = [pa.array(images, schema.field(0).type), [label for _, label, _, _ in self._rows]]
            columns += [[more[name] for *_, more in self._rows] for name in schema.names[2:]]
            self._open.write_table(pa.table(columns, schema=schema))
        self._rows, self._held = [], 0

    def _make_schema(self, more: Mapping[str, Any]) -> Any:
        import pyarrow as pa

        types = {"group": "string", "weight": "float64"}
        features: dict[str, Any] = {
            "image": {"_type": "Image"},
            "label": {"names": list(self.class_names), "_type": "ClassLabel"},
            **{name: {"dtype": types[name], "_type": "Value"} for name in more},
        }
        image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        return pa.schema(
            [("image", image), ("label", pa.int64()), *((name, pa.type_for_alias(types[name])) for name in more)],
            metadata={
                "huggingface": json.dumps({"info": {"features": features}}),
                "kerastricks": json.dumps({"photographs": self.photographs}),
            },
        )


WRITERS: dict[str, type[ShardWriter]] = {
    "tfrecord": TFRecordWriter,
    "webdataset": TarWriter,
    "parquet": ParquetWriter,
}

"""Pack a source into TFRecord shards with an index."""

import hashlib
import io
import itertools
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from kerastricks.data.sources.reading import read_source
from kerastricks.data.sources.shards import FORMAT, INDEX, VERSION
from kerastricks.data.sources.source import Arrays, Examples
from kerastricks.errors import DataError
from kerastricks.files import begun_folder, take_name, written
from kerastricks.progress import Progress, silent

_FRAME_BYTES = 12  # before a record: its length and the length's checksum; 4 more follow it


def pack(
    source: Any,
    out: str | os.PathLike[str],
    *,
    shard_mb: float = 128,
    max_skipped: float = 0.05,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Pack the images of a source, with their bytes as they are, into a folder of TFRecord shards.

    `load(out)` gives the same batches as `load(source)`, from a few large files instead of many small ones. Any
    other reader of TFRecord can use the shards too: each record is a `tf.train.Example` with `image/encoded`,
    `image/class/label`, `image/class/text` and `image/filename`.

    Args:
        source: see `load`. What cannot be decoded is left out; arrays are written as PNG.
        out: the folder to make, written atomically.
        shard_mb: megabytes (10^6 bytes) of a shard; one larger image makes a larger shard.
        max_skipped: the largest fraction of files that may be left out.
        seed: seed of the order of the records.
        progress: shows how many images are done.

    Returns:
        `path`, `class_names`, `images` and `shards` of each split, `bytes`, and `skipped` as `load` has it.

    Raises:
        DataError: for anything wrong with the images, or an `out` that is there already.
        WriteError: where it cannot be written.

    Example:
        >>> import kerastricks, numpy, os, tempfile
        >>> x, y = numpy.zeros((40, 8, 8, 1), "uint8"), numpy.arange(40) % 2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     packed = kerastricks.data.pack((x, y), os.path.join(folder, "packed"))
        ...     print(packed["images"], kerastricks.data.load(packed["path"]).image_shape)
        {'train': 40} (8, 8, 1)
    """
    out = Path(os.path.expanduser(out))
    if not shard_mb > 0:
        raise DataError(f"shard_mb must be above 0. Received: shard_mb={shard_mb}")
    if out.exists() or out.is_symlink():
        raise DataError(f"{out}: exists already: name another folder, or delete it")
    if not out.absolute().parent.is_dir():
        raise DataError(f"{out.absolute().parent}: no such folder: make it first")
    if isinstance(source, str | os.PathLike):
        inside = Path(os.path.expanduser(source))
        if inside.is_dir() and inside.resolve() in out.resolve().parents:
            raise DataError(f"{out}: is inside {source}, which it would be a part of: name a folder elsewhere")
    readable = read_source(
        source,
        image_size=None,
        max_pixels=100_000_000,
        max_skipped=max_skipped,
        memory_bytes=0,
        progress=progress,
    )
    found = readable.source
    for examples in found.splits.values():
        if not isinstance(examples, Arrays) and len(set(examples.names)) < len(examples):
            twice = next(name for name, other in itertools.pairwise(sorted(examples.names)) if name == other)
            raise DataError(f"{found.name}: {twice} is there twice: make the zip again")
    # Beside its final path, since only a rename inside one file system happens at once.
    with written(out), begun_folder(out.absolute().parent) as unfinished:
        splits = {}
        for number, (split, examples) in enumerate(found.splits.items()):
            order = np.random.default_rng([seed, number]).permutation(len(examples))
            with progress(f"packing {split}", len(examples)) as advance:
                writer = _Shards(unfinished, split, found.class_names, shard_mb * 1e6)
                try:
                    for index in order.tolist():
                        name, contents = _encoded(examples, split, index)
                        writer.write(name, int(examples.labels[index]), contents)
                        for column in ("groups", "weights"):
                            values = getattr(examples, column)
                            if values is not None:
                                writer.shards[-1].setdefault(column, []).append(values[index])
                        advance(1)
                finally:
                    writer.close()
            shards = writer.finish()
            counts = np.bincount(examples.labels, minlength=len(found.class_names)).tolist()
            splits[split] = {"records": len(examples), "class_counts": counts, "shards": shards}
        record = {
            "format": FORMAT,
            "version": VERSION,
            "name": found.name,
            "class_names": list(found.class_names),
            "photographs": readable.photographs,
            "splits": splits,
        }
        with (unfinished / INDEX).open("w", encoding="utf-8") as file:
            json.dump(record, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        take_name(unfinished, out)
    return {
        "path": str(out),
        "class_names": list(found.class_names),
        "images": {split: record["records"] for split, record in splits.items()},
        "shards": {split: len(record["shards"]) for split, record in splits.items()},
        "bytes": sum(shard["bytes"] for record in splits.values() for shard in record["shards"]),
        "skipped": readable.skipped,
    }


class _Shards:
    """Writer of the records of one split, into as many files as they need."""

    def __init__(self, folder: Path, split: str, class_names: tuple[str, ...], shard_bytes: float) -> None:
        self.folder = folder
        self.split = split
        self.texts = [os.fsencode(name) for name in class_names]
        self.shard_bytes = shard_bytes
        self.writer: tf.io.TFRecordWriter | None = None
        self.offset = 0
        self.shards: list[dict[str, Any]] = []

    def write(self, name: str, label: int, contents: bytes) -> None:
        record = tf.train.Example(
            features=tf.train.Features(
                feature={
                    "image/encoded": _bytes(contents),
                    "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                    "image/class/text": _bytes(self.texts[label]),
                    "image/filename": _bytes(os.fsencode(name)),
                }
            )
        ).SerializeToString(deterministic=True)
        size = _FRAME_BYTES + len(record) + 4
        if self.writer is None or (self.offset and self.offset + size > self.shard_bytes):
            self.writer = self._next()
        self.writer.write(record)
        shard = self.shards[-1]
        shard["offsets"].append(self.offset)
        shard["labels"].append(label)
        shard["names"].append(name)
        # The offset of the image, so that reading it parses nothing.
        shard["image_offsets"].append(self.offset + _FRAME_BYTES + record.index(contents))
        shard["image_bytes"].append(len(contents))
        shard["image_crc32"].append(zlib.crc32(contents))
        self.offset += size

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def finish(self) -> list[dict[str, Any]]:
        """Rename the files, now that their number is known, and return their entries of the index."""
        for number, shard in enumerate(self.shards):
            name = f"{self.split}-{number:05}-of-{len(self.shards):05}.tfrecord"
            path = self.folder / name
            os.rename(self.folder / shard["file"], path)
            with path.open("rb") as file:
                shard["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            shard["file"], shard["records"], shard["bytes"] = name, len(shard["names"]), path.stat().st_size
        return self.shards

    def _next(self) -> tf.io.TFRecordWriter:
        self.close()
        file = f"{self.split}-{len(self.shards):05}"
        columns: dict[str, Any] = {
            name: [] for name in ("offsets", "labels", "names", "image_offsets", "image_bytes", "image_crc32")
        }
        self.shards.append({"file": file, "records": 0, "bytes": 0, "sha256": "", **columns})
        self.offset = 0
        return tf.io.TFRecordWriter(str(self.folder / file))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _encoded(examples: Examples, split: str, index: int) -> tuple[str, bytes]:
    if not isinstance(examples, Arrays):
        return examples.names[index], examples.read_again(index)
    pixels = examples.part(index, index + 1)[0]
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return f"{split}/{index:08}.png", buffer.getvalue()

"""Pack a source into a few large files: TFRecord shards with an index, WebDataset tars or Parquet."""

import importlib.util
import io
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerastricks.data.sources.reading import Readable, read_source
from kerastricks.data.sources.source import Arrays, Examples
from kerastricks.data.sources.writers import WRITERS
from kerastricks.errors import DataError, MissingExtraError, UnknownNameError
from kerastricks.files import begun_folder, take_name, written
from kerastricks.progress import Progress, silent


def pack(
    source: Any,
    out: str | os.PathLike[str],
    *,
    format: str = "tfrecord",
    shard_mb: float = 128,
    max_skipped: float = 0.05,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Pack the images of a source, with their bytes as they are, into a folder of a few large files.

    `load(out)` gives the same batches as `load(source)`, from a few large files instead of many small ones. Other
    programs read them too: of "tfrecord" each record is a `tf.train.Example` with `image/encoded`,
    `image/class/label`, `image/class/text` and `image/filename`; "webdataset" has tars of `KEY.jpg` and `KEY.cls`;
    "parquet" has the columns `image` (bytes and path) and `label` that Hugging Face's datasets writes. Groups and
    weights are kept: in the index, in `KEY.json`, and as columns.

    Args:
        source: see `load`. What cannot be decoded is left out; arrays are written as PNG.
        out: the folder to make, written atomically.
        format: "tfrecord", "webdataset" or "parquet".
        shard_mb: megabytes (10^6 bytes) of a shard; one larger image makes a larger shard.
        max_skipped: the largest fraction of files that may be left out.
        seed: seed of the order of the records.
        progress: shows how many images are done.

    Returns:
        `path`, `class_names`, `images` and `shards` of each split, `bytes`, and `skipped` as `load` has it.

    Raises:
        UnknownNameError: for another format.
        MissingExtraError: for "parquet" without pyarrow.
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
    if format not in WRITERS:
        raise UnknownNameError("format", format, WRITERS)
    if format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "parquet")
    if out.suffix.lower() in (".parquet", ".tar", ".tfrecord"):
        raise DataError(f"{out}: is to be a folder of files, and `format` says of which: name it without {out.suffix}")
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
    return pack_images(readable, out, format, shard_mb, seed, progress)


def pack_images(
    readable: Readable, out: Path, format: str, shard_mb: float, seed: int, progress: Progress
) -> dict[str, Any]:
    """Write images that were looked at; see `pack`, which checks the other arguments."""
    found = readable.source
    for examples in found.splits.values():
        if not isinstance(examples, Arrays) and len(set(examples.names)) < len(examples):
            twice = next(name for name, other in itertools.pairwise(sorted(examples.names)) if name == other)
            raise DataError(f"{found.name}: {twice} is there twice: make the zip again")
    # Beside its final path, since only a rename inside one file system happens at once.
    with written(out), begun_folder(out.absolute().parent) as unfinished:
        writer = WRITERS[format](unfinished, found.name, found.class_names, readable.photographs, shard_mb * 1e6)
        try:
            for number, (split, examples) in enumerate(found.splits.items()):
                order = np.random.default_rng([seed, number]).permutation(len(examples))
                with progress(f"packing {split}", len(examples)) as advance:
                    writer.begin(split)
                    for index in order.tolist():
                        name, contents = _encoded(examples, split, index)
                        more = {
                            column: values.item(index)
                            for column, values in (("group", examples.groups), ("weight", examples.weights))
                            if values is not None
                        }
                        writer.write(name, int(examples.labels[index]), contents, more)
                        advance(1)
                    writer.end()
        finally:
            writer.close()
        writer.finish()
        take_name(unfinished, out)
    return {
        "path": str(out),
        "class_names": list(found.class_names),
        "images": {split: len(examples) for split, examples in found.splits.items()},
        "shards": {split: len(shards) for split, shards in writer.splits.items()},
        "bytes": sum(shard["bytes"] for shards in writer.splits.values() for shard in shards),
        "skipped": readable.skipped,
    }


def _encoded(examples: Examples, split: str, index: int) -> tuple[str, bytes]:
    if not isinstance(examples, Arrays):
        return examples.names[index], examples.read_again(index)
    pixels = examples.part(index, index + 1)[0]
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return f"{split}/{index:08}.png", buffer.getvalue()

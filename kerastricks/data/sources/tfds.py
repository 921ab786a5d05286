"""Data sets of tensorflow_datasets by name, "tfds:NAME": read out of the TFRecord files it prepares."""

import contextlib
import importlib.util
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks.data.sources.layout import split_of
from kerastricks.data.sources.names import TFDS_PREFIX
from kerastricks.data.sources.shards import ShardReader
from kerastricks.data.sources.source import Files, Source
from kerastricks.errors import DataError, MissingExtraError

_AFTER_LENGTH = 12  # a record's length and that number's checksum stand before it


def tfds_source(source: str, data_dir: Path | None = None) -> Source:
    """Find the images of "tfds:NAME", also "tfds:NAME/CONFIG:VERSION"; prepared, with a network, the first time.

    Args:
        source: name of the data set, with its prefix.
        data_dir: folder of the data sets; None is the default of tensorflow_datasets.

    Raises:
        MissingExtraError: without tensorflow_datasets.
        DataError: for a name it does not know, a data set that cannot be downloaded, or one that does not give
            one class to each image.
    """
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise MissingExtraError("tensorflow_datasets", "tfds")
    import tensorflow_datasets as tfds

    try:
        with contextlib.redirect_stdout(sys.stderr):  # it tells what it does on standard output
            builder = tfds.builder(source.removeprefix(TFDS_PREFIX), data_dir=data_dir, file_format="tfrecord")
            class_names = _class_names(source, builder.info.features, tfds)
            builder.download_and_prepare()
    except DataError:
        raise
    except Exception as error:  # whatever the code of a data set does
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{source}: {reason}: see https://www.tensorflow.org/datasets/catalog for the names") from None

    shards: list[str] = []
    records: dict[str, tuple[int, int, int, int, int]] = {}
    reader = ShardReader(Path(builder.data_dir), shards, records)
    splits: dict[str, Files] = {}
    for name, info in builder.info.splits.items():
        split = split_of(name)
        if split is None:
            continue  # "unlabeled" and others that are neither trained nor tested on
        if split in splits:
            raise DataError(f"{source}: has several splits of {split}: name the files in a CSV")
        names: list[str] = []
        labels: list[int] = []
        for path in info.filepaths:
            shards.append(Path(path).name)
            _scan(Path(path), len(shards) - 1, names, labels, records)
        if labels and min(labels) < 0:
            raise DataError(f"{source}: {name} has no labels: name the files in a CSV")
        order = np.argsort(labels, kind="stable")
        splits[split] = Files([names[i] for i in order], np.array(labels, np.int32)[order], reader)
    if "train" not in splits:
        raise DataError(f"{source}: has no split train, only {', '.join(builder.info.splits)}: name the files in a CSV")
    # Images of one size are digits as often as photographs: nothing says that they may be mirrored.
    photographs = None in builder.info.features["image"].shape
    return Source(builder.name, class_names, splits, photographs)


def _class_names(source: str, features: Any, tfds: Any) -> tuple[str, ...]:
    found = dict(features.items()) if hasattr(features, "items") else {}
    image, label = found.get("image"), found.get("label")
    if isinstance(label, tfds.features.ClassLabel) and isinstance(image, tfds.features.Image):
        return tuple(label.names)
    if isinstance(label, tfds.features.Sequence):
        kind = "multi-label targets are not supported"
    elif isinstance(label, tfds.features.Tensor) and np.issubdtype(label.np_dtype, np.floating):
        kind = "regression targets are not supported"
    else:
        kind = f"found {', '.join(found) or 'no named features'}"
    raise DataError(f"{source}: {kind}: a data set with an 'image' and its class as 'label' is needed")


def _scan(
    path: Path, shard: int, names: list[str], labels: list[int], records: dict[str, tuple[int, int, int, int, int]]
) -> None:
    """Find the images in one TFRecord file."""
    offset = record = 0
    with path.open("rb") as file:
        while head := file.read(_AFTER_LENGTH):
            try:
                (length,) = struct.unpack_from("<Q", head)
                content = file.read(min(length, path.stat().st_size) + 4)
                if len(content) < length + 4:
                    raise ValueError("is cut off")
                features = tf.train.Example.FromString(content[:length]).features.feature
                (image,) = features["image"].bytes_list.value
                (label,) = features["label"].int64_list.value
                start = content.index(image)
            except Exception as error:  # the parser's own errors have no common base
                raise DataError(
                    f"{path}: is damaged in a record ({error}): delete the folder to have it again"
                ) from None
            name = f"{path.name}/{record:08}"
            names.append(name)
            labels.append(label)
            records[name] = (shard, record, offset + _AFTER_LENGTH + start, len(image), zlib.crc32(image))
            record += 1
            offset += _AFTER_LENGTH + length + 4

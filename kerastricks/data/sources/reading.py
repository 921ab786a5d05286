"""Read a source: find it, leave out what is no image, and keep pixels or file names."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks import recipes
from kerastricks.addresses import is_remote
from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.data.sources.archive import zip_source
from kerastricks.data.sources.builtin import BUILTIN, idx_source, is_idx_folder
from kerastricks.data.sources.classes import only_classes
from kerastricks.data.sources.cloud import remote_source
from kerastricks.data.sources.copies import Named, with_same_checksum
from kerastricks.data.sources.folder import folder_source
from kerastricks.data.sources.headers import Headers, read_headers
from kerastricks.data.sources.huggingface import hugging_face_source, is_saved_dataset
from kerastricks.data.sources.large_files import expand, files_inside, split_columns
from kerastricks.data.sources.names import HF_PREFIX, TFDS_PREFIX, is_no_image
from kerastricks.data.sources.parquet import SUFFIX as PARQUET
from kerastricks.data.sources.parquet import parquet_source
from kerastricks.data.sources.shards import INDEX as SHARDS_INDEX
from kerastricks.data.sources.shards import is_shards_folder, shards_source
from kerastricks.data.sources.source import Arrays, Examples, Files, PixelStore, Source, arrays_source
from kerastricks.data.sources.table import SUFFIXES as TABLE_SUFFIXES
from kerastricks.data.sources.table import table_source
from kerastricks.data.sources.webdataset import SUFFIXES as TARS
from kerastricks.data.sources.webdataset import webdataset_source
from kerastricks.errors import DataError, UnknownNameError
from kerastricks.progress import Progress

PHOTO_SIDE_PX = 64  # photographs of different sizes, where nothing is asked for
SMALL_SIDE_PX = 128  # images of one size up to this are used as they are


@dataclass(frozen=True)
class Readable:
    """A source after every file was looked at.

    Args:
        source: the source with only the good files, or their pixels.
        image_shape: (height, width, channels) in pixels.
        skipped: a record for each file that was left out, also where its name says that it is no image.
        fingerprint: hash of names, labels and contents, those left out included.
        photographs: whether the images came as files, also before they were packed.
        in_memory: whether the source holds pixels.
        same_checksums: groups of files that are probably copies.
    """

    source: Source
    image_shape: tuple[int, int, int]
    skipped: list[dict[str, str]]
    fingerprint: str
    photographs: bool
    in_memory: bool
    same_checksums: Sequence[Sequence[Named]] = ()


def read_source(
    source: Any,
    *,
    image_size: int | None,
    photographs_size: int = PHOTO_SIDE_PX,
    max_pixels: int,
    max_skipped: float,
    memory_bytes: int,
    progress: Progress,
    image_shape: tuple[int, int, int] | None = None,
    only_split: str | None = None,
    min_classes: int = 2,
    keep_files: bool = False,
    refuse: Callable[[Source], None] | None = None,
    fitting: Fitting = WHOLE,
    classes: Sequence[str] | None = None,
) -> Readable:
    """Read every file of a source once or twice.

    Args:
        source: see `load`.
        image_size: see `load`.
        photographs_size: see `load`.
        max_pixels: see `load`.
        max_skipped: see `load`.
        memory_bytes: see `load`.
        progress: see `load`.
        image_shape: shape of the result, whatever the images are.
        only_split: the only split that is read, where the source has it.
        min_classes: smallest number of classes.
        keep_files: whether to keep training images that are not of the result's size as files.
        refuse: raises for a source that cannot be used, before its files are read.
        fitting: how whole images are brought to the shape.
        classes: see `load`.
    """
    found = find_source(source)
    if classes is not None:
        found = only_classes(found, classes)
    if refuse is not None:
        refuse(found)
    if only_split is not None and only_split in found.splits:
        found = replace(found, splits={only_split: found.splits[only_split]})
    if len(found.class_names) < min_classes:
        have = f"only one class, {found.class_names[0]!r}" if found.class_names else "no images"
        raise DataError(f"{found.name}: {have}: a classifier needs two or more classes")
    headers = {
        name: read_headers(examples, max_pixels, f"looking at {name}", progress)
        for name, examples in found.splits.items()
        if isinstance(examples, Files)
    }
    shape = image_shape or _image_shape(found, headers, image_size, photographs_size, fitting)
    total = sum(len(examples) for examples in found.splits.values())
    in_memory = total * int(np.prod(shape)) <= memory_bytes or not headers
    skipped: list[dict[str, str]] = []
    digest = hashlib.blake2b(digest_size=16)
    usable: dict[str, Examples] = {}
    for name, examples in found.splits.items():
        if isinstance(examples, Files):
            kept = _readable(examples, headers[name], name, found, skipped)
            touched = fitting.crop_fraction < 1 or bool(np.any(kept.sizes != shape[:2]))
            keep = in_memory and not (keep_files and name == "train" and touched)
            usable[name] = _decodable(kept, name, found, shape, fitting, keep, skipped, progress)
            checksums = zip(examples.names, examples.labels, headers[name].checksums, strict=True)
            for file, label, crc in checksums:
                digest.update(os.fsencode(f"{name}/{file} {label} {crc}\n"))
        else:
            usable[name] = examples
            digest.update(name.encode())
            digest.update(examples.images.data)
            digest.update(examples.labels.tobytes())
        # Columns of the source's own; a pattern of groups is no part of it.
        for column in ("groups", "weights"):
            values = getattr(usable[name], column)
            if values is not None:
                digest.update(f"{name} {column} {json.dumps(values.tolist())}\n".encode())
    lost = [record for record in skipped if not is_no_image(record["file"])]
    images = total - len(skipped) + len(lost)
    if images and len(lost) / images > max_skipped:
        raise DataError(
            f"{found.name}: {len(lost)} of {images} files cannot be used, more than {max_skipped:.0%}; the first is "
            f"{lost[0]['file']} ({lost[0]['reason']}): mend them or allow more (max_skipped)"
        )
    _check_classes(found, usable)
    return Readable(
        source=replace(found, splits=usable),
        image_shape=shape,
        skipped=skipped,
        fingerprint=digest.hexdigest(),
        photographs=bool(headers) and found.photographs,
        in_memory=in_memory,
        same_checksums=with_same_checksum(
            {name: examples for name, examples in found.splits.items() if isinstance(examples, Files)},
            {name: header.checksums for name, header in headers.items()},
        ),
    )


def find_source(source: Any) -> Source:
    """Find the source for what `load` accepts; a source itself is returned.

    Raises:
        UnknownNameError: for a name that is neither a path nor known.
        DataError: for a path that holds no images.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, tuple) and len(source) == 2:
        return arrays_source(source)
    if not isinstance(source, str | os.PathLike):
        raise DataError(f"source must be a path, a name or a pair (x, y). Received: {type(source).__name__}")
    if is_remote(source):
        return remote_source(str(source))
    text, columns = split_columns(source)
    path = Path(os.path.expanduser(text))
    large = _large_files(text, path, columns)
    if large is not None:
        return large
    if columns:
        raise DataError(f"{source}: ?{next(iter(columns))}= is for Parquet, tars and Hugging Face: leave it out")
    if path.is_dir():
        if is_idx_folder(path):
            return idx_source(path)
        return shards_source(path) if is_shards_folder(path) else folder_source(path)
    if path.is_file():
        if path.suffix == ".py":
            return find_source(recipes.load(path).data)
        if path.suffix.lower() in TABLE_SUFFIXES:
            return table_source(path)
        if path.suffix.lower() in (".npz", ".npy"):
            raise DataError(
                f"{path}: is a file of NumPy arrays: pack them, kerastricks.data.pack((images, labels), FOLDER) in "
                f"Python, and give the FOLDER; Python's kerastricks.data.load((images, labels)) takes them as they are"
            )
        if path.suffix.lower() == ".tfrecord" or path.name == SHARDS_INDEX:
            raise DataError(f"{path}: is a part of a packed folder: give the folder, {path.parent}")
        return zip_source(path)
    name = str(source)
    if name.startswith(TFDS_PREFIX):
        from kerastricks.data.sources.tfds import tfds_source

        return tfds_source(name)
    if name in BUILTIN:
        return BUILTIN[name]()
    if name in recipes.names():
        return find_source(recipes.load(name).data)
    if path.suffix or len(path.parts) > 1:
        raise DataError(f"{source}: no such file or folder")
    raise UnknownNameError("data set or file", name, {*BUILTIN, *recipes.names()}, "kerastricks train --help")


def _large_files(text: str, path: Path, columns: Mapping[str, str]) -> Source | None:
    """The source of Parquet files, WebDataset tars or a Hugging Face data set; None for another kind."""
    if is_saved_dataset(path) or (text.startswith(HF_PREFIX) and not path.exists()):
        return hugging_face_source(text, columns)
    for suffixes, find in (((PARQUET,), parquet_source), (TARS, webdataset_source)):
        if path.is_dir():
            files = files_inside(path, suffixes)
        elif path.is_file():
            files = [path] if path.name.lower().endswith(suffixes) else []
        else:
            files = expand(text, suffixes)
        if files:
            return find(path, files, columns)
    return None


def _image_shape(
    source: Source, headers: dict[str, Headers], image_size: int | None, photographs_size: int, fitting: Fitting
) -> tuple[int, int, int]:
    if image_size is not None and image_size < 4:
        raise DataError(f"image_size must be 4 pixels or more. Received: image_size={image_size}")
    shapes = {examples.image_shape for examples in source.splits.values() if isinstance(examples, Arrays)}
    if shapes:
        shape = shapes.pop()
        if shapes or (image_size is not None and shape[:2] != (image_size, image_size)):
            raise DataError(
                f"{source.name}: arrays are used at their own size, {shape}: resize them before, or give a folder"
            )
        if fitting.crop_fraction < 1:
            raise DataError(
                f"{source.name}: arrays are used whole: crop_fraction is for files. "
                f"Received: crop_fraction={fitting.crop_fraction}"
            )
        return shape
    sizes = np.concatenate([header.sizes[header.sizes[:, 0] > 0] for header in headers.values()])
    channels = 1 if len(sizes) and all(header.grey for header in headers.values()) else 3
    if image_size is not None:
        return (image_size, image_size, channels)
    if len(sizes) and (sizes == sizes[0]).all() and sizes[0].max() <= SMALL_SIDE_PX and sizes[0].min() >= 4:
        return (int(sizes[0, 0]), int(sizes[0, 1]), channels)
    return (photographs_size, photographs_size, channels)


def _readable(files: Files, headers: Headers, split: str, source: Source, skipped: list[dict[str, str]]) -> Files:
    skipped += [_record(files, i, split, source, reason) for i, reason in headers.skipped.items()]
    return replace(files, sizes=headers.sizes, checksums=headers.checksums).take(
        np.flatnonzero(headers.sizes[:, 0] > 0)
    )


def _decodable(
    files: Files,
    split: str,
    source: Source,
    image_shape: tuple[int, int, int],
    fitting: Fitting,
    in_memory: bool,
    skipped: list[dict[str, str]],
    progress: Progress,
) -> Examples:
    """Decode all of a split; keep the pixels where they fit, else only the names of the good files."""
    # TensorFlow, which the check of images does without.
    from kerastricks.data.decoding.pixels import decode_all, why_undecodable

    store = PixelStore(len(files) if in_memory else 0, image_shape)
    good = np.zeros(len(files), bool)
    for indices, decoded in decode_all(files, image_shape, f"decoding {split}", progress, fitting):
        good[indices] = True
        if in_memory:
            store.images[indices] = decoded
    bad = np.flatnonzero(~good)
    files.take(bad).refuse_changed()
    for index in bad.tolist():
        reason = why_undecodable(files, index, image_shape, fitting)
        skipped.append(_record(files, index, split, source, reason))
    kept = files if good.all() else files.take(np.flatnonzero(good))
    if not in_memory:
        return kept
    rows = None if good.all() else np.flatnonzero(good).astype(np.int32)
    return Arrays(store, kept.labels, rows, kept.names, kept.groups, kept.weights)


def _record(files: Files, index: int, split: str, source: Source, reason: str) -> dict[str, str]:
    label = source.class_names[files.labels[index]]
    return {"split": split, "class": label, "file": files.names[index], "reason": reason}


def _check_classes(source: Source, usable: dict[str, Examples]) -> None:
    for name, examples in usable.items():
        counts = np.bincount(examples.labels, minlength=len(source.class_names))
        if len(counts) > len(source.class_names):
            raise DataError(
                f"{source.name}: label {len(counts) - 1} is in {name} but not in train: classes are "
                f"0 to {len(source.class_names) - 1}"
            )
        if name == "train" and (counts == 0).any():
            empty = source.class_names[int(np.argmin(counts))]
            raise DataError(f"{source.name}: class {empty!r} has no usable image in train: add some or delete it")
        if not counts.sum():
            raise DataError(f"{source.name}: {name} has no usable image: add some or delete the folder or rows")

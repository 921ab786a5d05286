"""Feature extraction: one forward pass over the images of each split, written to a folder."""

import json
import math
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks import __version__
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.errors import DataError, UnknownNameError, UsageError
from kerastricks.features.extractor import Extractor, weights_digest
from kerastricks.features.folder import FILES, FORMAT, LABELS, RECORD, VERSION, Features
from kerastricks.files import begun_folder, check_new_folder, take_name, written
from kerastricks.progress import Progress, silent

SPLITS = ("train", "validation", "test")


def compute(
    model: keras.Model,
    layers: Sequence[str],
    data: ImageData,
    path: str | os.PathLike[str],
    splits: Sequence[str] = SPLITS,
    pool: bool = True,
    batch_size: int = 64,
    progress: Progress = silent,
) -> Features:
    """Extract features: write layer outputs of a network for all images into a folder of memory-mapped arrays.

    The images are those of evaluation: whole, fitted, in order, without augmentation, 0 to 255. All layers are computed
    in one forward pass, in inference mode. `path/SPLIT/LAYER.npy` is float32 (N, D), `labels.npy` int32 (N,),
    `files.txt` a name a line; `path/features.json` records model, data and versions. The folder is written atomically.

    Args:
        model: functional or Sequential, of pixels 0 to 255. Grey images are repeated for a network of three channels.
        layers: names of its layers.
        data: data set of `kerastricks.data.load`, with images of the size that the model takes.
        path: the folder to make.
        splits: names of splits: "train", "validation", "test".
        pool: whether maps are averaged over height and width; otherwise an array is (N, height, width, channels).
        batch_size: images in a forward pass; it does not change the result.
        progress: shows how many images are done.

    Returns:
        The `Features` of the folder.

    Raises:
        UnknownNameError: for a layer or a split that is not there.
        DataError: for a path that is there already, or images of another size.
        UsageError: for a model without a graph, or with several inputs.
        WriteError: where it cannot be written.

    Example:
        >>> import keras, kerastricks, numpy, os, tempfile
        >>> x, y = numpy.zeros((40, 8, 8, 3), "uint8"), numpy.arange(40) % 2
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, name="conv")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "features")
        ...     features = kerastricks.features.compute(model, ["conv"], kerastricks.data.load((x, y)), path)
        ...     print(numpy.load(os.path.join(path, "test", "conv.npy"), mmap_mode="r").shape)
        (4, 5)
    """
    path = Path(os.path.expanduser(path))
    extractor = Extractor(model, layers, pool)
    check_request(extractor, data, splits, batch_size)
    check_new_folder(path)
    # Beside its final path, since only a rename inside one file system happens at once.
    with written(path), begun_folder(path.absolute().parent) as unfinished:
        write_features(unfinished, extractor, data, splits, batch_size, progress)
        take_name(unfinished, path)
    return Features.open(path)


def check_request(extractor: Extractor, data: ImageData, splits: Sequence[str], batch_size: int = 1) -> None:
    """Refuse what cannot be computed, before anything is computed."""
    for split in splits:
        if split not in data.splits:
            raise UnknownNameError("split", split, data.splits)
        broken = next((name for name in data.files(split) if "\n" in name), None)
        if broken is not None:
            raise DataError(f"{data.name}: {broken!r} has a line break in its name: rename it")
    if not splits or len(set(splits)) < len(splits):
        raise UsageError(f"splits must be one or more names, each once. Received: {list(splits)}")
    if batch_size < 1:
        raise UsageError(f"batch_size must be 1 or more. Received: batch_size={batch_size}")
    reserved = Path(LABELS).stem
    if reserved in extractor.layers:
        raise UsageError(f"layer {reserved!r} would have the file of the labels: give the layer another name")
    extractor.shapes(data.image_shape)


def bytes_needed(extractor: Extractor, data: ImageData, splits: Sequence[str]) -> int:
    """Size in bytes of the arrays on disk."""
    values = sum(math.prod(shape) for shape in extractor.shapes(data.image_shape).values())
    return sum(data.splits[split].size * (4 * values + 64) for split in splits)


def write_features(
    folder: Path,
    extractor: Extractor,
    data: ImageData,
    splits: Sequence[str],
    batch_size: int,
    progress: Progress,
) -> None:
    """Write features into an empty folder; the record is written last."""
    shapes = extractor.shapes(data.image_shape)
    for split in splits:
        (folder / split).mkdir()
        _write_split(folder / split, extractor, shapes, data, split, batch_size, progress)
    record = {
        "format": FORMAT,
        "version": VERSION,
        "layers": {layer: list(shape) for layer, shape in shapes.items()},
        "pool": extractor.pool,
        "splits": {split: data.splits[split].size for split in splits},
        "class_names": list(data.class_names),
        "data": {"name": data.name, "fingerprint": data.fingerprint},
        "image_shape": list(data.image_shape),
        "crop_fraction": data.fitting.crop_fraction,
        "interpolation": data.fitting.interpolation,
        "model": {"name": extractor.model.name, "weights": weights_digest(extractor.model)},
        "versions": versions(),
    }
    with (folder / RECORD).open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def versions() -> dict[str, str]:
    """Versions of the packages that decide the values."""
    found = {"kerastricks": __version__}
    for package in dict.fromkeys(("keras", "tensorflow", keras.backend.backend())):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, "backend": keras.backend.backend()}


def _write_split(
    folder: Path,
    extractor: Extractor,
    shapes: dict[str, tuple[int, ...]],
    data: ImageData,
    split: str,
    batch_size: int,
    progress: Progress,
) -> None:
    whole = data.splits[split]
    arrays = [_new_array(folder / f"{layer}.npy", (whole.size, *shape)) for layer, shape in shapes.items()]
    batches = Batches(whole.examples, data.image_shape, batch_size, data.seed, fitting=data.fitting)
    done = 0
    with progress(f"features of {split}", whole.size) as advance:
        for images, _ in batches.each():
            count = len(images)
            # Batches of one size: another one would be compiled anew.
            padded = np.pad(images.numpy(), [(0, batch_size - count), (0, 0), (0, 0), (0, 0)])
            for array, found in zip(arrays, extractor(padded), strict=True):
                array[done : done + count] = found[:count]
            done += count
            advance(count)
    for array in arrays:
        array.flush()
    np.save(folder / LABELS, data.labels(split).astype(np.int32))
    text = "".join(f"{name}\n" for name in data.files(split))
    (folder / FILES).write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def _new_array(path: Path, shape: tuple[int, ...]) -> Any:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and would kill the process later
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array

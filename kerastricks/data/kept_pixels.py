"""Decoded images of a data set in a folder, which many processes map into memory."""

from pathlib import Path

import numpy as np

from kerastricks.augment.op import ImageSpec
from kerastricks.data.decoding.decode import DECODER
from kerastricks.data.fitting import Fitting
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.pipeline.stages import StagedOps
from kerastricks.data.sources.source import Arrays, PixelStore
from kerastricks.data.statistics import PixelStatistics
from kerastricks.files import begun_folder, discard, read_json, take_name, write_json, written

_RECORD = "data.json"
_MEASURES = ("total", "products")


def keep_pixels(data: ImageData, folder: Path) -> None:
    """Write splits that are in memory, atomically.

    Args:
        data: data set for which `can_keep` is true.
        folder: folder to make; one that is there is replaced.

    Raises:
        WriteError: where the disk does not take it.
    """
    with written(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with begun_folder(folder.parent) as begun:
            _write(data, begun)
            discard(folder)
            take_name(begun, folder)


def _write(data: ImageData, begun: Path) -> None:
    stores: list[PixelStore] = []
    splits = {}
    for name, batches in data.splits.items():
        examples = batches.examples
        assert isinstance(examples, Arrays)
        known = [number for number, store in enumerate(stores) if store is examples.store]
        if not known:
            stores.append(examples.store)
            np.save(begun / f"pixels-{len(stores) - 1}.npy", examples.store.pixels)
        splits[name] = {
            "store": known[0] if known else len(stores) - 1,
            "names": None if examples.names is None else list(examples.names),
            "rows": examples.rows is not None,
            "groups": None if examples.groups is None else examples.groups.tolist(),
            "weights": None if examples.weights is None else examples.weights.tolist(),
        }
        np.save(begun / f"{name}-labels.npy", examples.labels)
        if examples.rows is not None:
            np.save(begun / f"{name}-rows.npy", examples.rows)
    record = {
        "name": data.name,
        "class_names": data.class_names,
        "image_shape": data.image_shape,
        "splits": splits,
        "statistics": {"count": data.statistics.count}
        | {name: getattr(data.statistics, name).tolist() for name in _MEASURES},
        "skipped": data.skipped,
        "fingerprint": data.fingerprint,
        "fitting": [data.fitting.crop_fraction, data.fitting.interpolation],
        "decoder": DECODER,
    }
    write_json(begun / _RECORD, record, indent=None)


def are_kept(folder: Path) -> bool:
    """Whether a folder holds pixels of this version's decoder."""
    record = folder / _RECORD
    return record.exists() and read_json(record).get("decoder") == DECODER


def can_keep(data: ImageData) -> bool:
    """Whether all of the splits are decoded images in memory."""
    return all(isinstance(batches.examples, Arrays) for batches in data.splits.values())


def open_kept_pixels(folder: Path, augment: str, batch_size: int, seed: int) -> ImageData:
    """Open a data set that `keep_pixels` wrote, with this augmentation and batch size.

    The pixels are mapped: processes that use the same folder share them.

    Args:
        folder: folder that `keep_pixels` wrote.
        augment: ops of training images; not "auto".
        batch_size: images in a batch; lowered to the number of training images.
        seed: seed of order and draws; the splits are as they were.

    Raises:
        SpecError: for an augmentation that does not parse.
    """
    record = read_json(folder / _RECORD)
    shape = tuple(record["image_shape"])
    statistics = PixelStatistics(shape[-1])
    statistics.count = record["statistics"]["count"]
    for name in _MEASURES:
        setattr(statistics, name, np.array(record["statistics"][name]))
    fitting = Fitting(*record["fitting"])
    count = len(np.load(folder / "train-labels.npy", mmap_mode="r"))
    batch_size = min(batch_size, count)
    stores: dict[int, PixelStore] = {}
    splits = {}
    for name, split in record["splits"].items():
        number = split["store"]
        if number not in stores:
            stores[number] = PixelStore.mapped(folder / f"pixels-{number}.npy", shape)
        rows = np.load(folder / f"{name}-rows.npy") if split["rows"] else None
        groups, weights = split.get("groups"), split.get("weights")
        examples = Arrays(
            stores[number],
            np.load(folder / f"{name}-labels.npy"),
            rows,
            split["names"],
            None if groups is None else np.array(groups, object),
            None if weights is None else np.array(weights, float),
        )
        splits[name] = Batches(examples, shape, batch_size, seed, fitting=fitting)
    classes = len(record["class_names"])
    counts = tuple(np.bincount(splits["train"].examples.labels, minlength=classes).tolist())
    image_spec = ImageSpec(shape, classes, statistics, counts)
    return ImageData(
        name=record["name"],
        class_names=tuple(record["class_names"]),
        image_shape=shape,
        splits=splits,
        augmentation=StagedOps(augment, image_spec, seed),
        statistics=statistics,
        skipped=record["skipped"],
        fingerprint=record["fingerprint"],
        batch_size=batch_size,
        seed=seed,
        in_memory=True,
        fitting=fitting,
    )

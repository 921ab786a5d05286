"""Load images from anywhere, and make the splits that a source does not have."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastricks.augment import sequence
from kerastricks.augment.op import ImageSpec
from kerastricks.data.decoding.decode import MAX_PIXELS
from kerastricks.data.decoding.decoded_cache import open_decoded
from kerastricks.data.decoding.pixels import decode_into_memory
from kerastricks.data.fitting import Fitting
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.pipeline.stages import StagedOps, Stages, leads_with_crop
from kerastricks.data.service.service import Service
from kerastricks.data.sources.copies import find_same_bytes
from kerastricks.data.sources.groups import check_pattern, divide_groups, with_groups
from kerastricks.data.sources.reading import PHOTO_SIDE_PX, read_source
from kerastricks.data.sources.source import Arrays, Examples, Files, Source
from kerastricks.data.statistics import PixelStatistics, measure_pixels
from kerastricks.errors import DataError
from kerastricks.progress import Progress, silent


def load(
    source: Any,
    *,
    augment: str = "",
    batch_size: int = 128,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
    group: str | None = None,
    image_size: int | None = None,
    photographs_size: int = PHOTO_SIDE_PX,
    crop_fraction: float = 1.0,
    interpolation: str = "bilinear",
    classes: Sequence[str] | None = None,
    max_pixels: int = MAX_PIXELS,
    max_skipped: float = 0.05,
    memory_bytes: int = 1 << 30,
    cache_dir: str | os.PathLike | None = None,
    cache_bytes: int = 20 << 30,
    stages: Stages = "auto",
    data_service: str | None = None,
    progress: Progress = silent,
) -> ImageData:
    """Load images: find them, leave out what is none, make the missing splits and measure the training pixels.

    Args:
        source: a folder (CLASS/*.jpg, or train/ validation/ test/ with classes inside), a zip of one, a .csv of
            paths and labels, Parquet files or WebDataset tars (one, a folder, or "train-{000..012}.tar"; columns
            as in "FILE.parquet?image=IMG&label=LAB"), a folder that `pack` wrote, an "s3://", "gs://" or "https://"
            address of one of these, a folder of IDX files, `(x, y)` arrays, "digits", a name of `keras.datasets`,
            "tfds:NAME", "hf:OWNER/NAME", or a recipe's name.
        augment: the ops of training images, "flip | pad_crop(4) | fancy_pca(0.1)"; "" for none, "auto" for
            flips and shifts by an eighth of photographs and only shifts of anything else.
        batch_size: images in a batch; lowered to the number of training images.
        seed: seed of splits, order and draws.
        validation: fraction of the training images, where the source has no validation split.
        test: fraction of the training images, where the source has no test split.
        group: regular expression with a capture group, searched in each file's name relative to the data: what it
            captures names the image's group (a patient, a product, a video), and splits and folds share none. None
            for the groups of a table, or none.
        image_size: side in pixels of the square that images are cut and resized to; None keeps images of one
            size up to 128 pixels as they are and takes `photographs_size` for all others.
        photographs_size: see `image_size`.
        crop_fraction: side of the centred box that is cut from whole images, as a fraction of the largest one's;
            see `Fitting`. Training images that a leading random_resized_crop cuts are not touched by it.
        interpolation: how whole images are resized: "bilinear" or "bicubic".
        classes: names of the classes to use, two or more; files of others are not read. None for all.
        max_pixels: an image of more is left out as a decompression bomb.
        max_skipped: the largest fraction of files that may be left out.
        memory_bytes: decoded images that need less are kept in memory; otherwise each is decoded when it is used.
        cache_dir: a folder on a local disk for decoded training images that do not fit in memory and are cropped
            by a leading random_resized_crop; None for none.
        cache_bytes: the most that all caches in that folder may take.
        stages: where the ops run: "host" (in tf.data, so that any trainer gets finished batches), "device" (in the
            training step, all that can), or "auto": "device" where the backend has a GPU, else "host".
        data_service: "grpc://HOST:PORT" of a dispatcher whose workers make the training batches; they read the
            files under the same path. No images are kept in memory then. See docs/data_service.md.
        progress: shows how far long work is.

    Returns:
        An `ImageData`.

    Raises:
        DataError: for anything wrong with the images: the message names the file or class and the way out.
        SpecError: for an augmentation that does not parse.
        ServiceError: where no dispatcher or worker answers, or the workers cannot read these images.
        UnknownNameError: for a source that is neither there nor known, or a class it does not have.

    Example:
        >>> import kerastricks, numpy
        >>> x, y = numpy.zeros((40, 8, 8, 1), "uint8"), numpy.arange(40) % 2
        >>> data = kerastricks.data.load((x, y), augment="pad_crop(1)", batch_size=8)
        >>> data.image_shape, data.steps_per_epoch
        ((8, 8, 1), 4)
    """
    if batch_size < 1:
        raise DataError(f"batch_size must be 1 or more. Received: batch_size={batch_size}")
    if not 0 <= seed < 2**31:
        raise DataError(f"seed must be in [0, 2^31). Received: seed={seed}")
    fitting = Fitting(crop_fraction, interpolation)
    if augment != "auto":
        sequence.read(augment, None)  # a mistyped spec is refused before anything is read
    # A leading random crop wants the originals: a small part of one has more to show than of a small copy.
    wants_originals = augment != "auto" and leads_with_crop(augment)
    if group is not None:
        check_pattern(group)
    service = Service(data_service) if data_service is not None else None

    def refuse(found: Source) -> None:
        if service is not None:
            service.refuse(found)
        if group is not None:
            with_groups(found, group)

    readable = read_source(
        source,
        image_size=image_size,
        photographs_size=photographs_size,
        max_pixels=max_pixels,
        max_skipped=max_skipped,
        memory_bytes=memory_bytes if service is None else 0,
        progress=progress,
        refuse=refuse,
        keep_files=wants_originals,
        fitting=fitting,
        classes=classes,
    )
    shape = readable.image_shape
    splits = make_splits(readable.source, validation, test, seed, group)
    copies = find_same_bytes(readable.same_checksums, splits, readable.source.class_names)
    if augment == "auto":
        augment = default_augment(shape, readable.photographs)
    train = splits["train"]
    crops_originals = wants_originals and isinstance(train, Files)
    class_count = len(readable.source.class_names)
    if train.weights is not None:
        totals = np.bincount(train.labels, train.weights, class_count)
        if not totals.all():
            nothing = readable.source.class_names[int(np.argmin(totals))]
            raise DataError(
                f"{readable.source.name}: class {nothing!r} has only training images of weight 0: raise one"
            )
    counts = tuple(np.bincount(train.labels, minlength=class_count).tolist())
    # What does not fit the images is refused before all of them are measured.
    unmeasured = ImageSpec(shape, class_count, PixelStatistics(shape[-1]), counts)
    StagedOps(augment, unmeasured, seed, stages, crops_originals)
    decoded = None
    if service is not None:
        service.check(train)
    elif isinstance(train, Files) and crops_originals:
        for name in ("validation", "test"):
            splits[name] = decode_into_memory(splits[name], shape, memory_bytes, f"decoding {name}", progress, fitting)
        decoded = open_decoded(train, shape[-1], cache_dir, memory_bytes, cache_bytes, progress, train.checksums)
    statistics = measure_pixels(train, shape, "measuring train", progress, fitting)
    batch_size = min(batch_size, len(train))
    return ImageData(
        name=readable.source.name,
        class_names=readable.source.class_names,
        image_shape=shape,
        splits={
            name: Batches(splits[name], shape, batch_size, seed, fitting=fitting) for name in ("validation", "test")
        }
        | {"train": Batches(train, shape, batch_size, seed, decoded, service, fitting)},
        augmentation=StagedOps(
            augment, ImageSpec(shape, class_count, statistics, counts), seed, stages, crops_originals
        ),
        statistics=statistics,
        skipped=readable.skipped,
        fingerprint=readable.fingerprint,
        batch_size=batch_size,
        seed=seed,
        in_memory=isinstance(train, Arrays) or (decoded is not None and decoded.in_memory),
        fitting=fitting,
        copies=copies,
    )


def default_augment(image_shape: tuple[int, int, int], photographs: bool) -> str:
    """Choose shifts by an eighth of the side; also flips for photographs, whose left and right mean the same."""
    shift = f"pad_crop({max(1, min(image_shape[:2]) // 8)})"
    return f"flip | {shift}" if photographs else shift


def make_splits(
    source: Source, validation: float, test: float, seed: int, group: str | None = None
) -> dict[str, Examples]:
    """Make stratified, seeded splits; those of the source are kept, others are taken from its training split.

    Groups stay whole: no two splits share one, and classes have their shares as well as whole groups allow.

    Args:
        source: source with at least "train".
        validation: fraction of the source's training images, in (0, 1).
        test: fraction of the source's training images, in (0, 1).
        seed: seed of the choice.
        group: see `load`.

    Returns:
        The three splits; each class is in each made split in proportion, at least once.

    Raises:
        DataError: for a class with too few images or groups to be in every split, or a group in two splits.
    """
    for name, fraction in (("validation", validation), ("test", test)):
        if not 0 < fraction < 1:
            raise DataError(f"{name} must be a fraction in (0, 1). Received: {name}={fraction}")
    if group is not None:
        source = with_groups(source, group)
    splits = dict(source.splits)
    missing = {name: part for name, part in (("test", test), ("validation", validation)) if name not in splits}
    if sum(missing.values()) >= 1:
        raise DataError(f"validation and test together must leave training images. Received: {validation} + {test}")
    if not missing:
        return splits
    train = splits["train"]
    if train.groups is not None:
        return splits | _whole_groups(source, train, missing, seed)
    generator = np.random.default_rng(seed)
    chosen: dict[str, list[np.ndarray]] = {name: [] for name in ("train", *missing)}
    for label, class_name in enumerate(source.class_names):
        indices = generator.permutation(np.flatnonzero(train.labels == label))
        if len(indices) < 1 + len(missing):
            raise DataError(
                f"{source.name}: class {class_name!r} has {len(indices)} usable training images, and "
                f"{1 + len(missing)} are needed to make {' and '.join(missing)}: add images, or make the splits"
            )
        total = len(indices)
        for still_to_fill, (name, fraction) in zip(range(len(missing), 0, -1), missing.items(), strict=True):
            count = min(max(1, round(fraction * total)), len(indices) - still_to_fill)
            chosen[name].append(indices[:count])
            indices = indices[count:]
        chosen["train"].append(indices)
    for name, parts in chosen.items():
        splits[name] = train.take(np.sort(np.concatenate(parts)))
    return splits


def _whole_groups(source: Source, train: Examples, missing: Mapping[str, float], seed: int) -> dict[str, Examples]:
    """Take splits from the training split in whole groups."""
    assert train.groups is not None
    if None in train.groups.tolist():
        index = train.groups.tolist().index(None)
        name = train.names[index] if train.names is not None else index
        raise DataError(f"{source.name}: {name} is an image and does not match the pattern of groups: mend the pattern")
    names = ("train", *missing)
    part, lacking = divide_groups(train.labels, train.groups, (1 - sum(missing.values()), *missing.values()), seed)
    if lacking is not None:
        raise DataError(
            f"{source.name}: class {source.class_names[lacking]!r} is in too few groups to be in {', '.join(names)}, "
            f"which share none: add groups, or make the splits"
        )
    return {name: train.take(np.flatnonzero(part == number)) for number, name in enumerate(names)}

"""The cache of features, keyed by all that decides their values."""

import hashlib
import json
import os
import warnings
from collections.abc import Sequence

import keras
import numpy as np

from kerastricks.cache import DiskCache, cache_home
from kerastricks.data.decoding.decode import DECODER
from kerastricks.data.image_data import ImageData
from kerastricks.errors import DataError
from kerastricks.features.extraction import SPLITS, bytes_needed, check_request, versions, write_features
from kerastricks.features.extractor import Extractor, structure_digest, weights_digest
from kerastricks.features.folder import VERSION, Features
from kerastricks.files import written
from kerastricks.progress import Progress, silent

_BATCH_SIZE = 64


def cached(
    model: keras.Model,
    layers: Sequence[str],
    data: ImageData,
    splits: Sequence[str] = SPLITS,
    progress: Progress = silent,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_bytes: int = 5 << 30,
) -> Features:
    """Open features from the cache, or compute them as `compute` does.

    The key is a hash of all that decides the values: structure and weights of the network up to the layers, contents,
    labels and choice of the images, how they were cut and resized, versions. Freezing layers, a new head or
    another order of training batches change nothing.

    Args:
        model: see `compute`.
        layers: see `compute`.
        data: see `compute`.
        splits: see `compute`.
        progress: see `compute`.
        cache_dir: folder of all caches; None for $KERASTRICKS_CACHE, or ~/.cache/kerastricks.
        cache_bytes: the most that all features in the cache may take; those not used for longest make room.

    Returns:
        The `Features`.

    Raises:
        UnknownNameError: see `compute`.
        UsageError: see `compute`; also for a layer without `get_config`.
        DataError: for images of another size, or features that need more than `cache_bytes` or the disk has.
        OSError: where the cache cannot be written.

    Example:
        >>> import keras, kerastricks, numpy, tempfile
        >>> x, y = numpy.zeros((40, 8, 8, 3), "uint8"), numpy.arange(40) % 2
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, name="conv")])
        >>> data = kerastricks.data.load((x, y))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     features = kerastricks.features.cached(model, ["conv"], data, ["train"], cache_dir=folder)
        >>> features.of("train", "conv").shape
        (32, 5)
    """
    extractor = Extractor(model, layers)
    check_request(extractor, data, splits)
    key = _key(extractor, data, splits)
    cache = DiskCache(cache_home(cache_dir) / "features", cache_bytes)
    folder = cache.entry(key)
    if folder.exists():
        try:
            found = Features.open(folder)
            cache.touch(key)
            return found
        except DataError as error:
            if folder.exists():  # not removed by another process just now
                warnings.warn(str(error), stacklevel=2)
                cache.remove(key)
    refused = cache.make_room(bytes_needed(extractor, data, splits))
    if refused:
        raise DataError(
            f"{cache.path}: no room for features, {refused}: name another cache_dir, or take fewer images or layers"
        )
    with written(folder), cache.writing(key) as unfinished:
        write_features(unfinished, extractor, data, splits, _BATCH_SIZE, progress)
    return Features.open(folder)


def _key(extractor: Extractor, data: ImageData, splits: Sequence[str]) -> str:
    facts = {
        "version": VERSION,
        "structure": structure_digest(extractor.model),
        "weights": weights_digest(extractor.model),
        "layers": extractor.layers,
        "data": data.fingerprint,
        "decoder": DECODER,
        "splits": {split: _members(data, split) for split in splits},
        "image_shape": data.image_shape,
        "fitting": [data.fitting.crop_fraction, data.fitting.interpolation],
        "versions": versions(),
    }
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def _members(data: ImageData, split: str) -> str:
    """Hash the images of a split, their order and their labels."""
    digest = hashlib.blake2b(digest_size=16)
    for name in data.files(split):
        digest.update(os.fsencode(name) + b"\n")
    digest.update(np.ascontiguousarray(data.labels(split)).tobytes())
    return digest.hexdigest()

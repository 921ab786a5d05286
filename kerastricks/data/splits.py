"""Makes the splits a source does not have: stratified and seeded."""

import numpy as np

from kerastricks.data.sources.source import Examples, Source
from kerastricks.errors import DataError


def make_splits(source: Source, validation: float, test: float, seed: int) -> dict[str, Examples]:
    """Train, validation and test; what the source has is kept, the rest is cut from its training split.

    Args:
        source: with "train" at least.
        validation: fraction of the source's training images, in (0, 1).
        test: the same.
        seed: which ones.

    Returns:
        The three splits; each class is in each made split in proportion, at least once.

    Raises:
        DataError: for a class with too few images to be in every split.
    """
    for name, fraction in (("validation", validation), ("test", test)):
        if not 0 < fraction < 1:
            raise DataError(f"{name} must be a fraction in (0, 1). Received: {name}={fraction}")
    splits = dict(source.splits)
    missing = {name: part for name, part in (("test", test), ("validation", validation)) if name not in splits}
    if sum(missing.values()) >= 1:
        raise DataError(f"validation and test together must leave training images. Received: {validation} + {test}")
    if not missing:
        return splits
    train = splits["train"]
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

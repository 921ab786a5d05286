"""What a source gives, to compare it with another of the same images."""

import numpy as np

from kerastricks.data.sources.reading import find_source


def images_of(source):
    """What batches and fingerprint are made of: classes, splits, names, labels and bytes, in order."""
    found = find_source(source)
    return found.class_names, [
        (split, list(files.names), files.labels.tolist(), [files.reader.read(name) for name in files.names])
        for split, files in found.splits.items()
    ]


def rows_of(folder, seed=0):
    """Names and bytes of a folder's images, shuffled."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.*g"))
    return [(name, (folder / name).read_bytes()) for name in np.random.default_rng(seed).permutation(names).tolist()]

"""Random parts of the rows in which every class has its share."""

import numpy as np


def stratified_sample(labels: np.ndarray, rows: int, seed: int = 0) -> np.ndarray:
    """Draws rows without replacement so that each class keeps its share, and at least one row.

    Args:
        labels: (N,) integers.
        rows: how many; at least as many as there are classes.
        seed: of the draw.

    Returns:
        (min(rows, N),) sorted indices. A class with n of the N rows gets about n * rows / N of them.

    Raises:
        ValueError: for fewer rows than classes.

    Example:
        >>> import numpy as np
        >>> from kerastricks.probes.rows import stratified_sample
        >>> labels = np.array([0] * 90 + [1] * 9 + [2])
        >>> np.bincount(labels[stratified_sample(labels, 11)]).tolist()
        [9, 1, 1]
    """
    classes = len(np.unique(labels))
    if rows < classes:
        raise ValueError(f"rows must be at least the number of classes, {classes}. Received: rows={rows}")
    if rows >= len(labels):
        return np.arange(len(labels))
    place, count = _places(labels, seed)
    # By (place + 1/2) / count all classes are taken at the same pace; the first of each goes before everything.
    order = np.argsort(np.where(place == 0, -1.0, (place + 0.5) / count), kind="stable")
    return np.sort(order[:rows])


def stratified_folds(labels: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """Deals the rows of each class out to the folds in turn.

    A class of one row is in no fold, so that whichever fold is held out, the others know every class.

    Args:
        labels: (N,) integers.
        folds: at least 2.
        seed: of the order in which rows are dealt.

    Returns:
        (N,) numbers of folds, -1 for none.

    Example:
        >>> import numpy as np
        >>> from kerastricks.probes.rows import stratified_folds
        >>> stratified_folds(np.array([0, 1, 1, 1, 1, 2, 2]), 2).tolist()
        [-1, 0, 1, 0, 1, 1, 0]
    """
    place, count = _places(labels, seed)
    fold = np.full(len(labels), -1)
    dealt = np.lexsort((place, labels))
    dealt = dealt[count[dealt] > 1]
    fold[dealt] = np.arange(len(dealt)) % folds
    return fold


def _places(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The place of each row in a random order of its class, and how many rows that has."""
    _, label, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.lexsort((np.random.default_rng(seed).random(len(label)), label))
    place = np.empty(len(label), "int64")
    place[order] = np.arange(len(label)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place, counts[label]

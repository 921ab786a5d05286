"""Rows of features: checks, stratified samples and folds, single-threaded linear algebra."""

from contextlib import AbstractContextManager

import numpy as np
from threadpoolctl import threadpool_limits

from kerastricks.data.sources.groups import divide_groups
from kerastricks.errors import DataError

_WORTH_THREADS = 1_000_000_000


def stratified_sample(labels: np.ndarray, rows: int, seed: int = 0) -> np.ndarray:
    """Draws rows without replacement so that each class keeps its share, and at least one row.

    Args:
        labels: (N,) integers.
        rows: how many; at least the number of classes.
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
    rank, count = _ranks(labels, seed)
    # Ordered by (rank + 1/2) / count all classes are taken at one pace; the first of each goes before everything.
    order = np.argsort(np.where(rank == 0, -1.0, (rank + 0.5) / count), kind="stable")
    return np.sort(order[:rows])


def stratified_folds(labels: np.ndarray, folds: int, seed: int = 0, groups: np.ndarray | None = None) -> np.ndarray:
    """Deals the rows of each class to the folds in turn, or whole groups of rows.

    A class of one row, or of one group, is in no fold, so that whichever fold is held out, the others know every class.

    Args:
        labels: (N,) integers.
        folds: at least 2.
        seed: of the order in which rows are dealt.
        groups: (N,) of str, of which no two folds share one; then folds have each class in its share as well as whole
            groups allow. None for rows that have nothing in common.

    Returns:
        (N,) indices of folds, -1 for none.

    Example:
        >>> import numpy as np
        >>> from kerastricks.probes.rows import stratified_folds
        >>> stratified_folds(np.array([0, 1, 1, 1, 1, 2, 2]), 2).tolist()
        [-1, 0, 1, 0, 1, 1, 0]
    """
    rank, count = _ranks(labels, seed)
    if groups is not None:
        part, _ = divide_groups(labels, groups, [1 / folds] * folds, seed)
        for label in np.unique(labels):
            rows = labels == label
            if len(np.unique(part[rows])) == 1:
                part[rows] = -1
        return part
    fold = np.full(len(labels), -1)
    dealt = np.lexsort((rank, labels))
    dealt = dealt[count[dealt] > 1]
    fold[dealt] = np.arange(len(dealt)) % folds
    return fold


def _ranks(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each row in a random order of its class, and the number of rows of the class."""
    _, label, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.lexsort((np.random.default_rng(seed).random(len(label)), label))
    rank = np.empty(len(label), "int64")
    rank[order] = np.arange(len(label)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank, counts[label]


def feature_rows(
    features: np.ndarray, labels: np.ndarray, classes: int, name: str = "features"
) -> tuple[np.ndarray, np.ndarray]:
    """Checks and converts features and labels.

    Args:
        features: (N, D), any real dtype.
        labels: (N,) integers, below `classes`.
        classes: how many there are.
        name: what the features are called in an error: a layer's name, an argument.

    Returns:
        Features as float32 (float64 stays) and labels as int64.

    Raises:
        DataError: for another shape, no rows, labels out of range, or a value that is not finite.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1] or 0 in features.shape:
        raise DataError(
            f"{name} must be (N, D) with a label for each of N rows, N and D at least 1. Received: features of shape "
            f"{features.shape}, labels of shape {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels of {name} must be integers from 0 to {classes - 1}. Received: {labels.dtype} from {labels.min()} "
            f"to {labels.max()}"
        )
    if features.dtype != np.float64:
        features = features.astype("float32", copy=False)
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{name} must be finite. Received: NaN or infinity in {(~finite).sum()} of {len(finite)} rows, first in "
            f"row {finite.argmin()}; look at that image, or at the weights of the network"
        )
    return features, labels.astype("int64")


def present_classes(labels: np.ndarray, name: str = "labels") -> np.ndarray:
    """The classes that have rows; at least two.

    Args:
        labels: (N,) integers.
        name: what they are called in an error.

    Returns:
        Sorted class numbers.

    Raises:
        DataError: for fewer than two.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError(
            f"{name} must have images of two classes or more to train on. Received: only class {present[0]}"
        )
    return present


def one_thread(multiplications: int) -> AbstractContextManager:
    """Limits NumPy's matrix products to one thread where more would not pay.

    BLAS threads wait for each other in a busy loop. On small matrices threads gain little, and on a busy machine they
    cost ten times the time: each product waits for a thread that was put to sleep.

    Args:
        multiplications: in one of the products.

    Returns:
        A context: one thread inside up to a billion multiplications, as before above.
    """
    return threadpool_limits(limits=1 if multiplications < _WORTH_THREADS else None, user_api="blas")

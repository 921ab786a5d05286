"""Confusions of classes: the most frequent pairs, and an order of the classes in which they are neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that were predicted as another one.

    Args:
        true: index of their class.
        predicted: index of the other one.
        images: how many.
        share: of the images of their class.
    """

    true: int
    predicted: int
    images: int
    share: float


def confusion_entries(found: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads the non-zero entries of a confusion matrix, in memory of the order of the images.

    Args:
        found: what `scores` returns, or a summary.

    Returns:
        True classes, predicted classes and numbers of images, each (E,) int64.
    """
    stored = found["confusion_matrix"]
    if isinstance(stored, list):
        matrix = np.array(stored, dtype="int64").reshape(len(stored), len(stored))
        rows, columns = np.nonzero(matrix)
        return rows, columns, matrix[rows, columns]
    rows, columns, counts = (np.asarray(stored[name], dtype="int64") for name in ("rows", "columns", "counts"))
    return rows, columns, counts


def confused_pairs(found: Mapping[str, Any], limit: int | None = None) -> list[ConfusedPair]:
    """Lists the pairs of classes that are confused, the most frequent first.

    Args:
        found: what `scores` returns, or a summary.
        limit: the most pairs; None for all.

    Returns:
        Pairs of different classes, by images and then by their share of the class.

    Example:
        >>> from kerastricks.metrics import confused_pairs
        >>> [(one.true, one.predicted, one.images) for one in confused_pairs({"confusion_matrix": [[3, 1], [2, 4]]})]
        [(1, 0, 2), (0, 1, 1)]
    """
    rows, columns, counts = confusion_entries(found)
    images = np.zeros(int(max(rows.max(initial=0), columns.max(initial=0))) + 1, dtype="int64")
    np.add.at(images, rows, counts)
    wrong = np.flatnonzero(rows != columns)
    shares = counts[wrong] / images[rows[wrong]]
    order = wrong[np.lexsort((columns[wrong], rows[wrong], -shares, -counts[wrong]))][:limit]
    return [
        ConfusedPair(int(rows[i]), int(columns[i]), int(counts[i]), float(counts[i] / images[rows[i]])) for i in order
    ]


def most_confused_classes(pairs: Sequence[ConfusedPair], classes: int, most: int) -> list[int]:
    """Indices of the classes in the most frequent confusions, at most `most`; all where they are that few.

    Args:
        pairs: the most frequent first.
        classes: how many there are.
        most: how many are wanted.
    """
    if classes <= most:
        return list(range(classes))
    chosen: dict[int, None] = {}
    for pair in pairs:
        both = dict.fromkeys((pair.true, pair.predicted))
        if len(chosen | both) > most:
            break
        chosen |= both
    return sorted(chosen) or list(range(most))


def confusion_order(matrix: np.ndarray) -> list[int]:
    """Orders classes so that those that are confused with each other are neighbours.

    Average-linkage clustering on the shares of confused images, both directions added; of the orders that agree with
    the tree, the one with the shortest way from neighbour to neighbour.

    Args:
        matrix: (K, K) images by true class (rows) and predicted class.

    Returns:
        A permutation of the K indices; the given order where nothing is confused.

    Example:
        >>> import numpy as np
        >>> from kerastricks.metrics import confusion_order
        >>> order = confusion_order(np.array([[8, 0, 2], [0, 9, 0], [3, 0, 7]]))
        >>> abs(order.index(0) - order.index(2))
        1

    Reference:
        Bar-Joseph, Gifford, Jaakkola: Fast optimal leaf ordering for hierarchical clustering, Bioinformatics 17, 2001.
    """
    counts = np.asarray(matrix, "float64")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    near = shares + shares.T
    np.fill_diagonal(near, 0)
    if len(near) < 3 or not near.any():
        return list(range(len(near)))
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distances = near.max() - near
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    order = leaves_list(tree).tolist()
    return order if order[0] < order[-1] else order[::-1]  # of two mirrored ones always the same

"""Features and labels as the probes take them."""

import numpy as np

from kerastricks.errors import DataError


def feature_rows(
    features: np.ndarray, labels: np.ndarray, classes: int, name: str = "features"
) -> tuple[np.ndarray, np.ndarray]:
    """Checks features and labels.

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
            f"{name} must have images of two classes or more to train on. Received: class {present[0]} alone"
        )
    return present

"""How well the nearest class mean classifies."""

import numpy as np

from kerastricks.finetuning.feature_rows import feature_rows, present_classes
from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean


def nearest_centroid(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    classes: int,
    seed: int = 0,
) -> Estimate:
    """Accuracy of giving each image the class whose mean feature has the smallest angle to its own.

    Nothing is fitted but the means and nothing has to be chosen, so with a few images per class it is a firmer figure
    than a probe; it sees only how far apart the classes lie, and wastes what a linear classifier would find.

    Args:
        features: (N, D) of the training images.
        labels: (N,) integers.
        validation_features: (M, D).
        validation_labels: (M,) integers.
        classes: how many there are.
        seed: of the bootstrap.

    Returns:
        Accuracy on validation. A class without training images is never found.

    Raises:
        DataError: for features that are not finite or (N, D), labels out of range, or a single class.

    Example:
        >>> import numpy as np
        >>> from kerastricks.finetuning import nearest_centroid
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> features = np.eye(3)[labels] + generator.normal(0, 0.4, (300, 3))
        >>> nearest_centroid(features[:200], labels[:200], features[200:], labels[200:], classes=3).value > 0.8
        True

    Reference:
        Mensink, Verbeek, Perronnin, Csurka: Distance-based image classification, PAMI 35, 2013, without the learned
        metric; features and means are normalised to length 1.
    """
    features, labels = feature_rows(features, labels, classes, "features")
    others, other_labels = feature_rows(validation_features, validation_labels, classes, "validation_features")
    present = present_classes(labels)
    units = _unit(features)
    means = np.stack([units[labels == number].mean(axis=0) for number in present])
    found = present[(_unit(others) @ _unit(means).T).argmax(axis=1)]
    return bootstrap_mean(found == other_labels, seed)


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype("float64")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)

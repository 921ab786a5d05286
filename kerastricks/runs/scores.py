"""How good predictions are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics


def scores(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, balanced accuracy, log-loss, recall per class and the confusion matrix.

    Args:
        labels: (N,) integers.
        probabilities: (N, K).
        class_names: K names.

    Returns:
        Plain values for JSON. Log-loss is in nats; the confusion matrix has a row per true class. A class without
        an image has recall None and does not count in the balanced accuracy.
    """
    classes = len(class_names)
    predicted = probabilities.argmax(axis=1)
    exact = probabilities.astype("float64")
    exact /= exact.sum(axis=1, keepdims=True)  # float32 sums to 1 only nearly
    confusion = metrics.confusion_matrix(labels, predicted, labels=range(classes))
    counts = confusion.sum(axis=1)
    recall = [float(confusion[i, i] / counts[i]) if counts[i] else None for i in range(classes)]
    present = [value for value in recall if value is not None]
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "balanced_accuracy": float(np.mean(present)),
        "log_loss": float(metrics.log_loss(labels, exact, labels=range(classes))),
        "images": len(labels),
        "recall": dict(zip(class_names, recall, strict=True)),
        "confusion_matrix": confusion.tolist(),
    }

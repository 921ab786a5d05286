"""Scores of predictions: accuracy, balanced accuracy, macro F1, log-loss, recall, confusion matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastricks.metrics.class_balance import FEW, MANY, shot_accuracy

_MOST_IN_FULL = 100  # classes: their square is 10,000 numbers, and 16,000,000 of 4,000


def scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    training_counts: Sequence[int] | None = None,
    *,
    many: int = MANY,
    few: int = FEW,
) -> dict[str, Any]:
    """Accuracy, balanced accuracy, macro F1, log-loss, recall per class and the confusion matrix.

    Args:
        labels: (N,) integers.
        probabilities: (N, K).
        class_names: K names.
        training_counts: training images of each of the K classes, for the accuracy of many-shot, medium-shot and
            few-shot classes, `shots`; None for none.
        many: a class with more training images is many-shot.
        few: a class with fewer training images is few-shot.

    Returns:
        Plain values for JSON. Log-loss is in nats. The confusion matrix has a row per true class, as lists of up to
        100 classes and as its non-zero entries of more; `confusion_matrix` reads both. A class without an image has
        recall None and does not count in the balanced accuracy, the macro F1 and the shots: the images that were
        predicted as it are mistakes of their own classes all the same. `shots` is as `shot_accuracy` gives it.

    Raises:
        ConfigError: for another number of training counts than of classes.
    """
    classes = len(class_names)
    predicted = probabilities.argmax(axis=1)
    # float32 sums to 1 only approximately; clipped as by scikit-learn, so that an impossible class costs 36 nats.
    right = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1, dtype="float64")
    epsilon = np.finfo("float64").eps
    counts = np.bincount(labels, minlength=classes)
    correct = np.bincount(labels[predicted == labels], minlength=classes)
    recall = [float(correct[i] / counts[i]) if counts[i] else None for i in range(classes)]
    present = [value for value in recall if value is not None]
    # Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).
    f1 = 2 * correct / np.maximum(counts + np.bincount(predicted, minlength=classes), 1)
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "balanced_accuracy": float(np.mean(present)),
        "macro_f1": float(np.mean(f1[counts > 0])),
        "log_loss": float(-np.mean(np.log(np.clip(right, epsilon, 1 - epsilon)))),
        "images": len(labels),
        "recall": dict(zip(class_names, recall, strict=True)),
        **({} if training_counts is None else {"shots": shot_accuracy(recall, training_counts, many, few)}),
        "confusion_matrix": _confusion(np.asarray(labels), predicted, classes),
    }


def confusion_matrix(found: Mapping[str, Any]) -> np.ndarray:
    """Reads the confusion matrix of scores or of a summary.json, dense or sparse.

    Args:
        found: what `scores` returns, or a summary.

    Returns:
        (K, K) int64: images of the class of a row that were taken for the class of a column.

    Example:
        >>> import kerastricks
        >>> sparse = {"shape": [2, 2], "rows": [0, 1], "columns": [0, 0], "counts": [5, 1]}
        >>> kerastricks.metrics.confusion_matrix({"confusion_matrix": sparse}).tolist()
        [[5, 0], [1, 0]]
    """
    stored = found["confusion_matrix"]
    if isinstance(stored, list):
        return np.array(stored, dtype="int64")
    matrix = np.zeros(stored["shape"], dtype="int64")
    matrix[stored["rows"], stored["columns"]] = stored["counts"]
    return matrix


def images_by_class(found: Mapping[str, Any]) -> list[int]:
    """Counts the images of each class, in the order of the classes, in memory of the order of the images.

    Args:
        found: what `scores` returns, or a summary.

    Returns:
        K numbers.
    """
    stored = found["confusion_matrix"]
    if isinstance(stored, list):
        return [sum(row) for row in stored]
    return np.bincount(stored["rows"], stored["counts"], stored["shape"][0]).astype(int).tolist()


def _confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> list[list[int]] | dict[str, list[int]]:
    found, counts = np.unique(labels.astype("int64") * classes + predicted, return_counts=True)
    rows, columns = found // classes, found % classes
    if classes > _MOST_IN_FULL:
        parts = {"rows": rows, "columns": columns, "counts": counts}
        return {"shape": [classes, classes], **{name: part.tolist() for name, part in parts.items()}}
    matrix = np.zeros((classes, classes), dtype="int64")
    matrix[rows, columns] = counts
    return matrix.tolist()

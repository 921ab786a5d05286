"""Classifiers on standardised features, each from strong to weak regularisation."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from kerastricks.finetuning.softmax_regression import softmax_regression

Layers = list[tuple[np.ndarray, np.ndarray]]
Path = Iterator[tuple[float, Layers]]

# Of logistic: C times the number of features. Of linear and mlp: the penalty, beside the mean loss.
STRENGTHS = {
    "logistic": (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0),
    "linear": (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001),
    "mlp": (1.0, 0.1, 0.01),
}
_HIDDEN = 64
_EPOCHS = 60
# Least squares gives figures near 0 and 1; times this, the temperature that makes them chances is of ordinary size.
_SHARPNESS = 10.0


def _logistic(features: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> Path:
    """L2-regularised multinomial logistic regression; the bias is free."""
    components, _ = _principal(features)
    rows = features @ components
    targets, weights = np.eye(classes, dtype="float32")[labels], np.ones(len(labels))
    solution: np.ndarray | None = None
    for strength in STRENGTHS["logistic"]:
        solution = softmax_regression(rows, targets, weights, strength / features.shape[1], solution)
        yield strength, [(components @ solution[:-1], solution[-1])]


def _linear(features: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> Path:
    """Ridge regression on one-hot targets; the bias is free."""
    components, moments = _principal(features)
    targets = np.eye(classes)[labels]
    shares = targets.mean(axis=0)
    products = (features @ components).T @ (targets - shares) / len(labels)
    for strength in STRENGTHS["linear"]:
        kernel = components @ (products / (moments + strength)[:, None])
        yield strength, [(_SHARPNESS * kernel, _SHARPNESS * shares)]


def _mlp(features: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> Path:
    """One hidden layer with ReLU, by Adam."""
    for strength in STRENGTHS["mlp"]:
        network = MLPClassifier(_HIDDEN, alpha=strength, max_iter=_EPOCHS, random_state=seed)
        with warnings.catch_warnings():
            # Ending early is part of the regularisation.
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(features, labels)
        (first, last), (first_bias, last_bias) = network.coefs_, network.intercepts_
        if classes == 2:  # one logit, of the second class
            last, last_bias = np.hstack([-last, last]) / 2, np.hstack([-last_bias, last_bias]) / 2
        yield strength, [(first, first_bias), (last, last_bias)]


def _principal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D, R) orthonormal directions in which centred features vary, and the mean square along each."""
    count, dims = features.shape
    wide = count < dims
    gram = features @ features.T if wide else features.T @ features
    values, vectors = np.linalg.eigh(gram.astype("float64"))
    kept = values > 1e-6 * max(values[-1], 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    if wide:
        vectors = features.T @ (vectors / np.sqrt(values))
    return vectors.astype(features.dtype), values / count


CLASSIFIERS: dict[str, Callable[[np.ndarray, np.ndarray, int, int], Path]] = {
    "logistic": _logistic,
    "linear": _linear,
    "mlp": _mlp,
}

"""Accuracy, log-loss, calibration error and Brier score of probabilities; disagreement of members."""

from dataclasses import dataclass

import numpy as np

from kerastricks.errors import EnsembleError

BINS = 15
# As in scikit-learn's log_loss for float64, so that figures here and in run folders are equal.
_LOWEST_PROBABILITY = float(np.finfo("float64").eps)


def member_rows(log_probabilities: np.ndarray, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Checks predictions of members and the labels of the images.

    Args:
        log_probabilities: (M, N, K) of M members, N images and K classes; or logits.
        labels: (N,) integers below K; None where they are not needed.

    Returns:
        Predictions as float64 and labels as int64, empty for None.

    Raises:
        EnsembleError: for other shapes, labels out of range, or predictions that are NaN or plus infinity.
    """
    exact = np.asarray(log_probabilities, "float64")
    if exact.ndim != 3 or 0 in exact.shape or exact.shape[2] < 2:
        raise EnsembleError(
            f"log_probabilities must be (members, images, classes), of two classes or more. Received: shape "
            f"{exact.shape}; stack the members' predictions along a new first axis"
        )
    # Where every class has minus infinity there is no distribution either.
    whole = np.isfinite(exact.max(axis=2)) & ~np.isnan(exact).any(axis=2)
    if not whole.all():
        member = int((~whole).any(axis=1).argmax())
        raise EnsembleError(
            f"log_probabilities must not be NaN or plus infinity. Received: member {member} has such for "
            f"{(~whole[member]).sum()} of {exact.shape[1]} images; leave it out"
        )
    if labels is None:
        return exact, np.zeros(0, "int64")
    labels = np.asarray(labels)
    if labels.shape != exact.shape[1:2] or not np.issubdtype(labels.dtype, np.integer):
        raise EnsembleError(
            f"labels must be one integer for each of {exact.shape[1]} images. Received: {labels.dtype} of shape "
            f"{labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= exact.shape[2]:
        raise EnsembleError(
            f"labels must be from 0 to {exact.shape[2] - 1}. Received: from {labels.min()} to {labels.max()}"
        )
    return exact, labels.astype("int64")


def quality(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, log-loss, calibration error and Brier score.

    The calibration error is the mean, over 15 intervals of equal width of the largest probability and weighted by their
    images, of the distance between accuracy and mean largest probability. It is biased upwards where images are few,
    and says nothing about the other classes.

    Args:
        probabilities: (N, K).
        labels: (N,) integers.

    Returns:
        `accuracy`, `log_loss` in nats, `calibration_error`, and `brier`, the mean of the sum of squared errors over
        all classes, from 0 to 2.

    Raises:
        EnsembleError: for other shapes, labels out of range, or NaN.

    Example:
        >>> import numpy as np
        >>> from kerastricks.metrics import quality
        >>> found = quality(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        >>> {name: round(value, 3) for name, value in found.items()}
        {'accuracy': 0.5, 'log_loss': 0.511, 'calibration_error': 0.35, 'brier': 0.37}

    Reference:
        Guo et al.: On calibration of modern neural networks, arXiv 1706.04599, eq. 3. Brier: Verification of forecasts
        expressed in terms of probability, Monthly weather review 78, 1950.
    """
    rows, labels = member_rows(np.asarray(probabilities)[None], labels)
    exact = rows[0]
    of_label = exact[np.arange(len(labels)), labels]
    return {
        "accuracy": float((exact.argmax(axis=1) == labels).mean()),
        "log_loss": float(log_losses(exact, labels).mean()),
        "calibration_error": _intervals(exact, labels).error,
        "brier": float(((exact**2).sum(axis=1) - 2 * of_label + 1).mean()),
    }


@dataclass(frozen=True)
class CalibrationCurve:
    """Accuracy against confidence, over intervals of the largest probability.

    Args:
        confidence: mean largest probability of the images in each interval that has some.
        accuracy: share of them that are right.
        images: how many they are.
        error: the calibration error, as in `quality`.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    images: tuple[int, ...]
    error: float


def calibration_curve(probabilities: np.ndarray, labels: np.ndarray) -> CalibrationCurve:
    """Measures how far a classifier's largest probability is the share of images that it gets right.

    Args:
        probabilities: (N, K).
        labels: (N,) integers.

    Returns:
        A `CalibrationCurve` over 15 intervals of equal width; those without an image are left out.

    Raises:
        EnsembleError: for other shapes, labels out of range, or NaN.

    Example:
        >>> import numpy as np
        >>> from kerastricks.metrics import calibration_curve
        >>> found = calibration_curve(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        >>> found.accuracy, found.images, round(found.error, 2)
        ((0.0, 1.0), (1, 1), 0.35)

    Reference:
        Guo et al.: On calibration of modern neural networks, arXiv 1706.04599, section 2.
    """
    rows, labels = member_rows(np.asarray(probabilities)[None], labels)
    return _intervals(rows[0], labels)


def _intervals(exact: np.ndarray, labels: np.ndarray) -> CalibrationCurve:
    predicted = exact.argmax(axis=1)
    right = predicted == labels
    confidence = exact[np.arange(len(labels)), predicted]
    # Intervals are open below and closed above.
    interval = np.clip(np.ceil(confidence * BINS).astype("int64") - 1, 0, BINS - 1)
    images = np.bincount(interval, minlength=BINS)
    sums = np.bincount(interval, weights=confidence, minlength=BINS)
    correct = np.bincount(interval, weights=right, minlength=BINS)
    gaps = np.bincount(interval, weights=right - confidence, minlength=BINS)
    some = images > 0
    return CalibrationCurve(
        confidence=tuple((sums[some] / images[some]).tolist()),
        accuracy=tuple((correct[some] / images[some]).tolist()),
        images=tuple(images[some].tolist()),
        error=float(np.abs(gaps).sum() / len(labels)),
    )


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The log-loss of each image.

    Args:
        probabilities: (N, K); rows are divided by their sum.
        labels: (N,) integers.

    Returns:
        (N,) nats, at most 36: no probability counts as less than the float64 epsilon.
    """
    of_label = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    return -np.log(np.maximum(of_label, _LOWEST_PROBABILITY))


def disagreement(log_probabilities: np.ndarray) -> np.ndarray:
    """The share of images on which two members predict different classes.

    Members that never disagree cannot gain from each other. Weak members disagree too: read it with their accuracy.

    Args:
        log_probabilities: (M, N, K); or logits, or probabilities.

    Returns:
        (M, M) from 0 to 1, with zeros on the diagonal.

    Raises:
        EnsembleError: for another shape, NaN or plus infinity.

    Example:
        >>> import numpy as np
        >>> from kerastricks.metrics import disagreement
        >>> members = np.log([[[0.8, 0.2], [0.3, 0.7]], [[0.4, 0.6], [0.1, 0.9]]])
        >>> disagreement(members).tolist()
        [[0.0, 0.5], [0.5, 0.0]]

    Reference:
        Kuncheva, Whitaker: Measures of diversity in classifier ensembles, Machine learning 51, 2003. Deviation: members
        disagree where their classes differ; the paper's measure asks whether only one of them is right.
    """
    rows, _ = member_rows(log_probabilities)
    predicted = rows.argmax(axis=2)
    return np.stack([(predicted != one).mean(axis=1) for one in predicted])


def mean_disagreement(log_probabilities: np.ndarray) -> float:
    """The mean of `disagreement` over all pairs of members; 0 for one member.

    Args:
        log_probabilities: (M, N, K).

    Returns:
        From 0 to 1.
    """
    shares = disagreement(log_probabilities)
    pairs = len(shares) * (len(shares) - 1)
    return float(shares.sum() / pairs) if pairs else 0.0

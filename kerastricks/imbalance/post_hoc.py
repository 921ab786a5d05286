"""Remedies for a trained classifier: logit adjustment, tau-normalisation, offsets tuned to a metric."""

from collections.abc import Sequence

import numpy as np

from kerastricks.errors import DataError, UnknownNameError

METRICS = ("balanced_accuracy", "macro_f1", "accuracy")
_SWEEPS = 5  # over the classes, at most
_BEYOND = 1e-3  # past the outermost breakpoint
_EQUAL = 1e-12  # scores that differ by rounding


def log_prior(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Compute the logarithms of the classes' shares of the training images.

    Args:
        counts: (K,) training images of each class.

    Returns:
        (K,) float64, in nats.

    Raises:
        DataError: for a class without an image, whose logarithm is infinite.
    """
    counts = np.asarray(counts, "float64")
    if counts.ndim != 1 or not len(counts) or not np.isfinite(counts).all() or (counts <= 0).any():
        raise DataError(
            "counts must be numbers of training images (K,), each above 0: leave out classes without one. Received: "
            f"{np.array2string(counts, threshold=10)}"
        )
    return np.log(counts / counts.sum())


def adjust_logits(logits: np.ndarray, counts: Sequence[int] | np.ndarray, tau: float = 1.0) -> np.ndarray:
    """Subtract tau times the logarithm of the class prior from logits or log-probabilities.

    With tau = 1 and calibrated probabilities the largest one is the Bayes-optimal prediction for balanced accuracy.
    A network that was trained with weights or by balanced sampling has adapted to another prior than `counts` already:
    a smaller tau, or none, is right there.

    Args:
        logits: (N, K), natural units.
        counts: (K,) training images of each class.
        tau: 0 changes nothing.

    Returns:
        (N, K) float64.

    Raises:
        DataError: for a class without an image.

    Example:
        >>> import numpy as np, kerastricks
        >>> kerastricks.imbalance.adjust_logits(np.log([[0.6, 0.4]]), [90, 10]).argmax(axis=1).tolist()
        [1]

    Reference:
        Menon et al.: Long-tail learning via logit adjustment, 2021, arXiv 2007.07314, equation 9. No deviation.
    """
    return np.asarray(logits, "float64") - tau * log_prior(counts)


def tau_normalize(kernel: np.ndarray, tau: float = 1.0) -> np.ndarray:
    """Divide each class's weight vector by a power of its norm, which grows with the class's images.

    Args:
        kernel: (D, K) of the last dense layer. Its bias is to be dropped, as in the paper.
        tau: 0 keeps the kernel, 1 gives all classes the same norm.

    Returns:
        (D, K) float64.

    Raises:
        DataError: for a class whose weights are all zero.

    Example:
        >>> import numpy as np, kerastricks
        >>> kernel = kerastricks.imbalance.tau_normalize(np.array([[3.0, 0.0], [4.0, 5.0]]))
        >>> np.linalg.norm(kernel, axis=0).round(6).tolist()
        [5.0, 5.0]

    Reference:
        Kang et al.: Decoupling representation and classifier for long-tailed recognition, 2020, arXiv 1910.09217,
        equation 4. Deviation: all classes are multiplied by the geometric mean of the norms to the power tau. No
        prediction changes by it; without it probabilities would be flattened as tau grows.
    """
    return np.asarray(kernel, "float64") * tau_scale(kernel, tau)


def tau_scale(kernel: np.ndarray, tau: float) -> np.ndarray:
    """Compute the factors (K,) of `tau_normalize`: of the kernel's columns, and of the logits without a bias.

    Raises:
        DataError: for a class whose weights are all zero.
    """
    norms = np.linalg.norm(np.asarray(kernel, "float64"), axis=0)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise DataError(
            f"class {int(np.argmin(norms))}: its weights in the last layer are all zero or not finite, and cannot be "
            "normalised: take logit adjustment"
        )
    return np.exp(-tau * (np.log(norms) - np.log(norms).mean()))


def class_score(metric: str, labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Score predictions by balanced accuracy, macro F1 or accuracy.

    Args:
        metric: "balanced_accuracy" (mean recall), "macro_f1" (mean of the harmonic means of recall and precision), both
            over the classes with an image, or "accuracy".
        labels: (N,) integers.
        predicted: (N,) integers.
        classes: K.

    Raises:
        UnknownNameError: for another metric.

    Example:
        >>> import numpy as np, kerastricks
        >>> kerastricks.imbalance.class_score("balanced_accuracy", np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2)
        0.8333333333333333
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    right = labels == predicted
    if metric == "accuracy":
        return float(right.mean())
    images = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[right], minlength=classes)
    present = images > 0
    if metric == "balanced_accuracy":
        return float((hits[present] / images[present]).mean())
    named = np.bincount(predicted, minlength=classes)
    return float((2 * hits[present] / (images + named)[present]).mean())


def tune_offsets(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    metric: str = "balanced_accuracy",
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Tune an offset per class, added to log-probabilities, to a metric, by coordinate ascent.

    Each step finds the exact optimum of one class's offset, with the others fixed: the score is constant between
    breakpoints, and the middle of the best piece is taken; where the present offset is as good, it stays. An offset is
    a decision threshold on the class's probability, relative to those of the others. Few images overfit:
    `find_remedies` keeps only the share of the offsets that holds on images that did not tune them.

    Args:
        log_probabilities: (N, K) finite, of images that the network was not trained on.
        labels: (N,) integers.
        metric: see `class_score`.
        start: (K,) initial offsets, such as those of logit adjustment; None for zeros.

    Returns:
        (K,) float64.

    Raises:
        UnknownNameError: for an unknown metric.

    Example:
        >>> import numpy as np, kerastricks
        >>> log_probabilities = np.log([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
        >>> offsets = kerastricks.imbalance.tune_offsets(log_probabilities, np.array([0, 0, 1]))
        >>> (log_probabilities + offsets).argmax(axis=1).tolist()
        [0, 0, 1]
    """
    logits = np.asarray(log_probabilities, "float64")
    classes = logits.shape[1]
    offsets = np.zeros(classes) if start is None else np.asarray(start, "float64").copy()
    best = class_score(metric, labels, (logits + offsets).argmax(axis=1), classes)
    for _ in range(_SWEEPS):
        before = best
        for index in range(classes):
            value, score = _best_offset(logits, labels, metric, offsets, index)
            if score > best + _EQUAL:
                offsets[index], best = value, score
        if best <= before + _EQUAL:
            break
    return offsets


def _best_offset(
    logits: np.ndarray, labels: np.ndarray, metric: str, offsets: np.ndarray, index: int
) -> tuple[float, float]:
    """The offset of class `index` with the highest score, nearest to the present one, and its score."""
    others = logits + offsets
    others[:, index] = -np.inf
    rival = others.argmax(axis=1)
    breakpoints = others[np.arange(len(labels)), rival] - logits[:, index]
    order = np.argsort(breakpoints, kind="stable")
    ordered = breakpoints[order]
    scores = _scores_of_pieces(metric, labels[order], rival[order], index, logits.shape[1])
    edges = np.concatenate([[ordered[0] - 2 * _BEYOND], ordered, [ordered[-1] + 2 * _BEYOND]])
    scores[np.diff(edges) <= 0] = -np.inf  # equal breakpoints: both images move at once
    middles = (edges[:-1] + edges[1:]) / 2
    best = np.flatnonzero(scores >= scores.max() - _EQUAL)
    found = best[np.argmin(np.abs(middles[best] - offsets[index]))]
    return float(middles[found]), float(scores[found])


def _scores_of_pieces(metric: str, labels: np.ndarray, rival: np.ndarray, index: int, classes: int) -> np.ndarray:
    """(N + 1,) scores with the first 0, 1 ... N of the ordered images taken for class `index`, the rest for a rival."""
    images = np.bincount(labels, minlength=classes)
    own, right = labels == index, labels == rival
    if metric != "macro_f1":
        weights = np.ones(classes) / len(labels)
        if metric == "balanced_accuracy":
            weights = np.where(images > 0, 1 / np.maximum(images, 1), 0) / (images > 0).sum()
        gain = weights[index] * own - weights[rival] * right
        return (weights[rival] * right).sum() + np.concatenate([[0.0], np.cumsum(gain)])
    named = np.bincount(rival, minlength=classes)
    hits = np.bincount(rival[right], minlength=classes)
    # Images of one rival, in their order: each takes one prediction, and a hit where it was one, from that class.
    grouped = np.argsort(rival, kind="stable")
    first = np.concatenate([[0], np.cumsum(named)[:-1]])[rival[grouped]]
    lost = np.cumsum(right[grouped])
    lost_hits = lost - (lost - right[grouped])[first]
    gone = np.arange(len(labels)) - first + 1
    of = rival[grouped]

    def f1(hit: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """Zero for a class without an image, which does not count."""
        return np.where(images[of] > 0, 2 * hit / np.maximum(images[of] + prediction, 1), 0.0)

    change = np.empty(len(labels))
    after = f1(hits[of] - lost_hits, named[of] - gone)
    change[grouped] = after - f1(hits[of] - lost_hits + right[grouped], named[of] - gone + 1)
    present = images > 0
    base = float((2 * hits[present] / (images + named)[present]).sum())
    taken = np.concatenate([[0], np.cumsum(own)])
    mine = 2 * taken / np.maximum(images[index] + np.arange(len(labels) + 1), 1) if images[index] else 0.0
    return (base + np.concatenate([[0.0], np.cumsum(change)]) + mine) / present.sum()

"""Transferability of features without a trained classifier: LogME evidence and nearest centroid."""

import math

import numpy as np

from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean
from kerastricks.probes.rows import feature_rows, one_thread, present_classes, stratified_sample

_CUT = 1e-13  # of the largest eigenvalue: scales of features that differ by 1e5 are 1e10 apart here
_RANGE = math.log(1e12)
_GRID = 121
_GOLDEN = (math.sqrt(5) - 1) / 2
_SECTIONS = 16  # log t to 2e-4, where the evidence is flat
_NORMAL_95 = 1.6449


def logme(
    features: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0, rounds: int = 10, max_rows: int = 2_000
) -> Estimate:
    """Maximises the evidence of a Bayesian linear model of each class's indicator: log p(y | features) per image.

    It needs no validation images and does not reward features that only fit: what the weights can explain is averaged
    over their prior, whose precision and that of the noise are chosen by the evidence itself. Higher is better. Values
    of different layers or networks on the same images compare; values of different data do not.

    Args:
        features: (N, D) of the training images.
        labels: (N,) integers.
        classes: how many there are. One without images does not count.
        seed: of the sample and the halves.
        rounds: halves of the images that the spread is measured on; at least 2.
        max_rows: images used at most: a random sample in which classes keep their shares.

    Returns:
        The mean of the maximised evidence over classes, per image, in nats. The standard error is the deviation over
        random halves (the delete-half jackknife; images drawn twice, as the bootstrap's, look like noise-free
        evidence), the interval normal. Where a half cannot hold every class the spread is NaN.

    Raises:
        DataError: for features that are not finite or (N, D), labels out of range, or a single class.

    Example:
        >>> import numpy as np
        >>> from kerastricks.probes import logme
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> noise = generator.normal(0, 1, (300, 5))
        >>> good = np.concatenate([noise, np.eye(3)[labels]], axis=1)
        >>> logme(good, labels, 3).low > logme(noise, labels, 3).high
        True

    Reference:
        You, Liu, Wang, Long: LogME: practical assessment of pre-trained models for transfer learning, ICML 2021,
        equations 2 and 4 and algorithm 1; the evidence as a function of only t = alpha / beta and the one
        decomposition are those of You et al.: Ranking and tuning pre-trained models, JMLR 23, 2022. Deviations: the
        larger of the two Gram matrices is never formed; where the papers iterate a fixed point, which ends in one of
        two maxima where there are two, the evidence is maximised over t from 1e-12 to 1e12 times the mean eigenvalue,
        ends included, by a grid and golden sections; eigenvalues below 1e-13 of the largest count as 0.
    """
    features, labels = feature_rows(features, labels, classes, "features")
    present = present_classes(labels)
    used = stratified_sample(labels, max(max_rows, len(present)), seed)
    labels = labels[used]
    rows = features[used].astype("float64")
    rows /= math.sqrt(np.mean(rows**2)) or 1.0  # the evidence does not depend on the scale
    targets = (labels[:, None] == present).astype("float64")
    count, error = len(labels), math.nan
    with one_thread(min(rows.shape) ** 3 // 10):
        # Halves of the Gram matrix of rows are blocks of it; that of columns is summed anew for each half.
        gram = rows @ rows.T if rows.shape[1] > count // 2 else None
        value = _part(rows, gram, targets, np.arange(count))
        if count // 2 >= len(present):
            draws = [stratified_sample(labels, count // 2, 1 + rounds * seed + number) for number in range(rounds)]
            error = float(np.std([_part(rows, gram, targets, half) for half in draws], ddof=1))
    return Estimate(value, value - _NORMAL_95 * error, value + _NORMAL_95 * error, error)


def _part(rows: np.ndarray, gram: np.ndarray | None, targets: np.ndarray, part: np.ndarray) -> float:
    if gram is not None and rows.shape[1] > len(part):
        return _evidence(*_spectrum(gram[np.ix_(part, part)], targets[part]), targets[part])
    return _evidence(*_spectrum_of_columns(rows[part], targets[part]), targets[part])


def _spectrum(gram: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (R,) of F F^T that are not 0, and the squared parts (R, K) of the targets along its vectors."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > _CUT * max(values[-1], 1e-300)
    return values[kept], (vectors[:, kept].T @ targets) ** 2


def _spectrum_of_columns(rows: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and squared parts as `_spectrum`, from F^T F."""
    values, vectors = np.linalg.eigh(rows.T @ rows)
    kept = values > _CUT * max(values[-1], 1e-300)
    return values[kept], (vectors[:, kept].T @ (rows.T @ targets)) ** 2 / values[kept, None]


def _evidence(values: np.ndarray, squares: np.ndarray, targets: np.ndarray) -> float:
    """Mean over classes of max log p(y | F, alpha, beta) / N.

    With t = alpha / beta, an eigenvalue s and z^2 the target's part along its vector, the posterior mean m has
    |Fm - y|^2 + t |m|^2 = sum z^2 t / (s + t) plus what lies outside of all vectors.
    """
    count = len(targets)
    outside = np.maximum((targets**2).sum(axis=0) - squares.sum(axis=0), 0.0)
    mean = float(values.mean()) if len(values) else 1.0

    def evidence(t: np.ndarray, left: np.ndarray) -> np.ndarray:
        """At the maximum over beta with t held, where beta |Fm - y|^2 + alpha |m|^2 = N; `left` is N / beta."""
        log_determinant = np.log1p(values[:, None] / t).sum(axis=0)
        return (count * np.log(count / (2 * math.pi * left)) - count - log_determinant) / 2

    def at(logs: np.ndarray) -> np.ndarray:
        t = np.exp(logs)
        return evidence(t, (squares * (t / (values[:, None] + t))).sum(axis=0) + outside)

    # There may be two maxima, above all with few images, so the whole range is searched first.
    grid = math.log(mean) + np.linspace(-_RANGE, _RANGE, _GRID)
    shares = np.exp(grid) / (values[:, None] + np.exp(grid))
    coarse = evidence(np.exp(grid), (squares.T @ shares) + outside[:, None])
    best = grid[np.argmax(coarse, axis=1)]
    width = grid[1] - grid[0]
    low, high = np.maximum(best - width, grid[0]), np.minimum(best + width, grid[-1])
    for _ in range(_SECTIONS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        rises = at(left) < at(right)
        low, high = np.where(rises, left, low), np.where(rises, high, right)
    found = np.maximum(at((low + high) / 2), coarse.max(axis=1))
    return float(found.mean() / count)


def nearest_centroid(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    classes: int,
    seed: int = 0,
) -> Estimate:
    """Accuracy of the classifier that assigns the class whose mean feature has the smallest angle to the image's.

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
        Accuracy on validation. A class without training images is never predicted.

    Raises:
        DataError: for features that are not finite or (N, D), labels out of range, or a single class.

    Example:
        >>> import numpy as np
        >>> from kerastricks.probes import nearest_centroid
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

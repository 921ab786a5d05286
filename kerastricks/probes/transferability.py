"""Transferability of features without a trained classifier: LogME evidence and nearest centroid."""

import math

import numpy as np

from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean
from kerastricks.probes.rows import feature_rows, one_thread, present_classes, stratified_sample

_CUT = 1e-13  # of the largest eigenvalue: scales of features that differ by 1e5 are 1e10 apart here
_CUT_SINGULAR = 1e-14  # of the largest singular value: scales may differ by 1e13
_SQUARED = 1e-9  # of the largest eigenvalue: below it a Gram matrix has lost too many digits
_SPREAD = 1e3  # of the smallest feature
_RANGE = math.log(1e12)
_BELOW_SMALLEST = math.log(1e6)
_GRID_STEP = 2 * _RANGE / 120
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
        larger of the two Gram matrices is never formed, and none of features whose scales are so far apart that its
        digits do not suffice: there the singular values are those of the features; where the papers iterate a fixed
        point, which ends in one of two maxima where there are two, the evidence is maximised over t from 1e-12 (or a
        millionth of the smallest eigenvalue of features far apart) to 1e12 times the mean eigenvalue, ends included,
        by a grid and golden sections; eigenvalues below 1e-13 of the largest count as 0 (singular values, 1e-14).
    """
    features, labels = feature_rows(features, labels, classes, "features")
    present = present_classes(labels)
    used = stratified_sample(labels, max(max_rows, len(present)), seed)
    labels = labels[used]
    rows = features[used].astype("float64")
    # The evidence does not depend on the scale; the largest goes first, for squares that are numbers.
    rows /= np.abs(rows).max() or 1.0
    rows /= math.sqrt(np.mean(rows**2)) or 1.0
    is_graded = _is_graded(rows, features.dtype)
    targets = (labels[:, None] == present).astype("float64")
    count, error = len(labels), math.nan
    with one_thread(min(rows.shape) ** 3 // 10):
        # Halves of the Gram matrix of rows are blocks of it; that of columns is summed anew for each half.
        gram = rows @ rows.T if rows.shape[1] > count // 2 else None
        value = _part(rows, gram, targets, np.arange(count), is_graded)
        if count // 2 >= len(present):
            draws = [stratified_sample(labels, count // 2, 1 + rounds * seed + number) for number in range(rounds)]
            error = float(np.std([_part(rows, gram, targets, half, is_graded) for half in draws], ddof=1))
    return Estimate(value, value - _NORMAL_95 * error, value + _NORMAL_95 * error, error)


def _part(rows: np.ndarray, gram: np.ndarray | None, targets: np.ndarray, part: np.ndarray, is_graded: bool) -> float:
    wide = gram is not None and rows.shape[1] > len(part)
    mine, wanted = rows[part], targets[part]
    values, vectors = np.linalg.eigh(gram[np.ix_(part, part)] if gram is not None and wide else mine.T @ mine)
    if is_graded and values[0] < _SQUARED * values[-1]:
        left, singular, _ = np.linalg.svd(mine, full_matrices=False)
        kept = singular > _CUT_SINGULAR * singular[0]
        # Noise is small beside the smallest feature here, which may be far below the mean.
        lowest = 2 * math.log(singular[kept][-1]) - _BELOW_SMALLEST
        return _evidence(singular[kept] ** 2, (left[:, kept].T @ wanted) ** 2, wanted, lowest)
    kept = values > _CUT * max(values[-1], 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    parts = vectors.T @ wanted if wide else vectors.T @ (mine.T @ wanted) / np.sqrt(values[:, None])
    return _evidence(values, parts**2, wanted)


def _is_graded(rows: np.ndarray, dtype: np.dtype) -> bool:
    """Whether rows may hold more than their Gram matrix, in which small features drown in the rounding of large ones.

    Of float32 features of one scale, what drowns is rounding already.
    """
    squares = (rows**2).sum(axis=0)
    squares = squares[squares > 0]
    return len(squares) > 0 and (dtype == np.float64 or bool(squares.max() > _SPREAD**2 * squares.min()))


def _evidence(values: np.ndarray, squares: np.ndarray, targets: np.ndarray, lowest: float = math.inf) -> float:
    """Mean over classes of max log p(y | F, alpha, beta) / N.

    With t = alpha / beta, an eigenvalue s and z^2 the target's part along its vector, the posterior mean m has
    |Fm - y|^2 + t |m|^2 = sum z^2 t / (s + t) plus what lies outside of all vectors. `lowest` is the lowest log t that
    is looked at, unless 1e-12 of the mean eigenvalue is lower.
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
    middle = math.log(mean)
    first = min(lowest, middle - _RANGE)
    grid = np.linspace(first, middle + _RANGE, 1 + math.ceil((middle + _RANGE - first) / _GRID_STEP - 1e-9))
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

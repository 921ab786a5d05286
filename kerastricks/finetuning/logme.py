"""The evidence that features hold for the labels, without a classifier to train."""

import math

import numpy as np

from kerastricks.finetuning.bootstrap import Estimate
from kerastricks.finetuning.feature_rows import feature_rows, present_classes
from kerastricks.finetuning.one_thread import one_thread
from kerastricks.finetuning.stratified import stratified_sample

_MAX_STEPS = 2_000
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
        >>> from kerastricks.finetuning import logme
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> noise = generator.normal(0, 1, (300, 5))
        >>> good = np.concatenate([noise, np.eye(3)[labels]], axis=1)
        >>> logme(good, labels, 3).low > logme(noise, labels, 3).high
        True

    Reference:
        You, Liu, Wang, Long: LogME: practical assessment of pre-trained models for transfer learning, ICML 2021,
        equations 2 and 4 and algorithm 1; the fixed point in t = alpha / beta alone and the one decomposition are those
        of You et al.: Ranking and tuning pre-trained models, JMLR 23, 2022. Deviations: the larger of the two Gram
        matrices is never formed; the iteration runs to convergence instead of a few steps; t stays between 1e-8 and 1e8
        times the mean eigenvalue, where the evidence has no maximum.
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
    kept = values > 1e-10 * max(values[-1], 1e-300)
    return values[kept], (vectors[:, kept].T @ targets) ** 2


def _spectrum_of_columns(rows: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same from F^T F."""
    values, vectors = np.linalg.eigh(rows.T @ rows)
    kept = values > 1e-10 * max(values[-1], 1e-300)
    return values[kept], (vectors[:, kept].T @ (rows.T @ targets)) ** 2 / values[kept, None]


def _evidence(values: np.ndarray, squares: np.ndarray, targets: np.ndarray) -> float:
    """Mean over classes of max log p(y | F, alpha, beta) / N.

    With t = alpha / beta, an eigenvalue s and z^2 the target's part along its vector, the posterior mean m has
    |m|^2 = sum s z^2 / (s + t)^2 and leaves sum z^2 t^2 / (s + t)^2 plus what lies outside of all vectors.
    """
    count, classes = targets.shape
    outside = np.maximum((targets**2).sum(axis=0) - squares.sum(axis=0), 0.0)
    s = values[:, None]
    mean = float(values.mean()) if len(values) else 1.0
    lowest, highest = 1e-8 * mean, 1e8 * mean
    t = np.full(classes, mean)
    for _ in range(_MAX_STEPS):
        length = np.maximum((s * squares / (s + t) ** 2).sum(axis=0), 1e-300)
        fitted = (s / (s + t)).sum(axis=0)  # gamma, the number of directions that the data decide
        free = (t / (s + t)).sum(axis=0) + count - len(values)  # N - gamma
        left = (squares * (t / (s + t)) ** 2).sum(axis=0) + outside
        moved = np.clip(fitted / length * left / free, lowest, highest)
        step = np.abs(np.log(moved / t)).max()
        t = moved
        if step < 1e-6:
            break
    # At the maximum over beta with t held, beta |Fm - y|^2 + alpha |m|^2 = N.
    beta = count / ((squares * t / (s + t)).sum(axis=0) + outside)
    log_determinant = np.log1p(s / t).sum(axis=0)
    evidence = (count * np.log(beta / (2 * math.pi)) - count - log_determinant) / 2
    return float(evidence.mean() / count)

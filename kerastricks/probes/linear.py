"""The linear probe: L2-regularised multinomial logistic regression on fixed features."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean
from kerastricks.probes.rows import feature_rows, one_thread, present_classes, stratified_folds, stratified_sample

# C times the number of features, from strong to weak regularisation.
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)
_UNTRIED = 10.0
# A feature that hardly ever fires has next to no deviation in few rows, and would be huge in the row where it does.
_PRIOR_ROWS = 10
# Above, an eigendecomposition costs more than it saves.
_ROTATED_DIMS = 2_048


def softmax_regression(
    rows: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    c: float,
    start: np.ndarray | None = None,
    tolerance: float = 1e-4,
    max_steps: int = 500,
) -> np.ndarray:
    """Minimises c * sum_i weights_i * log-loss_i + sum(kernel^2) / 2 over kernel and bias.

    L-BFGS in coordinates scaled by the square root of the initial curvature: for principal components the curvature is
    nearly diagonal, and some 20 steps do the work of hundreds in the original coordinates.

    Args:
        rows: (N, D), preferably principal components, of mean zero; their dtype is that of the arithmetic.
        targets: (N, K) one-hot, of the same dtype.
        weights: (N,) of the rows, with mean 1.
        c: strength of the data against the penalty; the bias is not penalised.
        start: (D + 1, K) initial solution; None for zeros.
        tolerance: largest element of the scaled gradient of the mean loss at which the search ends.
        max_steps: at most.

    Returns:
        (D + 1, K) float64: the kernel and below it the bias, whose mean over the classes is zero.
    """
    count, dims = rows.shape
    classes = targets.shape[1]
    weights = weights.astype(rows.dtype)
    first = np.zeros((dims + 1, classes)) if start is None else start
    probabilities = special.softmax(rows @ first[:-1].astype(rows.dtype) + first[-1].astype(rows.dtype), axis=1)
    spread = probabilities * (1 - probabilities) * weights[:, None]
    curvature = np.vstack([(rows**2).T @ spread, spread.sum(axis=0)]).astype("float64") / count
    penalty = np.append(np.full(dims, 1 / (c * count)), 0.0)[:, None]
    scale = 1 / np.sqrt(curvature + penalty + 1e-12)

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        solution = scaled.reshape(dims + 1, classes) * scale
        low = solution.astype(rows.dtype)
        logits = rows @ low[:-1] + low[-1]
        log_probabilities = logits - special.logsumexp(logits, axis=1, keepdims=True)
        error = (np.exp(log_probabilities) - targets) * weights[:, None]
        gradient = np.vstack([rows.T @ error, error.sum(axis=0, dtype="float64")]).astype("float64") / count
        gradient += penalty * solution
        value = -np.einsum("nk,nk,n->", log_probabilities, targets, weights, dtype="float64") / count
        return float(value + (penalty * solution**2).sum() / 2), (gradient * scale).ravel()

    found = optimize.minimize(
        loss,
        (first / scale).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": tolerance, "ftol": 0.0, "maxiter": max_steps, "maxcor": 20},
    )
    solution = found.x.reshape(dims + 1, classes) * scale
    solution[-1] -= solution[-1].mean()
    return solution


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A linear classifier on the network's raw features, and its scores on validation.

    Args:
        kernel: (D, K) float32, acts on raw features: the standardisation is inside.
        bias: (K,) float32.
        C: strength of the data against the penalty, chosen within the training rows.
        accuracy: on validation.
        balanced_accuracy: mean recall of the classes that validation has.
        log_loss: on validation, in nats.
        probabilities: (M, K) of validation.
        rows: training rows used.
        rows_given: training rows given.
    """

    kernel: np.ndarray
    bias: np.ndarray
    C: float
    accuracy: Estimate
    balanced_accuracy: float
    log_loss: float
    probabilities: np.ndarray
    rows: int
    rows_given: int

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predicts probabilities.

        Args:
            features: (N, D).

        Returns:
            (N, K) float32.
        """
        return np.exp(_log_probabilities(features, self.kernel, self.bias)).astype("float32")


def linear_probe(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    classes: int,
    seed: int = 0,
    class_weight: str | None = None,
    max_rows: int = 20_000,
    sample_weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> LinearProbe:
    """Fits an L2-regularised multinomial logistic regression to features and measures it on validation.

    Features are standardised by the training rows: mean zero, and divided by the deviation, in whose estimate the mean
    variance of all features counts as ten rows more. Features should be of one kind, as those of a layer are. The
    strength C is chosen by held-out log-loss within the training rows (5 folds up to 1,000 rows, 3 up to 3,000, one
    split in 80 and 20 % above), from strong to weak until the loss rises, so validation has no part in the choice and
    its accuracy is unbiased. Seconds on a CPU: the search runs in float32 in the principal components, where the L2
    penalty is the same and the problem well scaled.

    Args:
        features: (N, D) of the training images.
        labels: (N,) integers.
        validation_features: (M, D).
        validation_labels: (M,) integers.
        classes: K. One without training images gets a kernel of zeros and a bias below every training logit.
        seed: of the folds, the sample and the bootstrap.
        class_weight: "balanced" weights the rows of a class by N / (K * rows of the class); None does not.
        max_rows: training rows used at most: a random sample in which classes keep their shares.
        sample_weight: (N,) of the training rows in the loss, 0 or more; divided by their mean. None for equal ones.
        groups: (N,) of str, groups of the training rows that no two folds share; None for none.

    Returns:
        A `LinearProbe`.

    Raises:
        DataError: for features that are not finite or (N, D), labels out of range, or a single class.
        ValueError: for another class weight.

    Example:
        >>> import numpy as np
        >>> from kerastricks.probes import linear_probe
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> features = np.eye(3)[labels] + generator.normal(0, 0.4, (300, 3))
        >>> probe = linear_probe(features[:200], labels[:200], features[200:], labels[200:], classes=3)
        >>> probe.accuracy.value > 0.8, probe.kernel.shape
        (True, (3, 3))

    Reference:
        Alain, Bengio: Understanding intermediate layers using linear classifier probes, arXiv 1610.01644. The objective
        is scikit-learn's multinomial one: C * sum of log-losses + sum of squared weights / 2, bias free.
    """
    if class_weight not in (None, "balanced"):
        raise ValueError(f'class_weight must be "balanced" or None. Received: class_weight={class_weight!r}')
    features, labels = feature_rows(features, labels, classes, "features")
    others, other_labels = feature_rows(validation_features, validation_labels, classes, "validation_features")
    given = len(labels)
    present = present_classes(labels)
    used = stratified_sample(labels, max(max_rows, len(present)), seed)
    features, labels = features[used], np.searchsorted(present, labels[used])

    with one_thread(features.size * len(present)):
        kernel, bias, strength, lowest = _fit(
            features,
            labels,
            len(present),
            seed,
            class_weight,
            None if sample_weight is None else np.asarray(sample_weight, float)[used],
            None if groups is None else groups[used],
        )
    whole = np.zeros((features.shape[1], classes), "float32")
    whole[:, present] = kernel
    whole_bias = np.full(classes, lowest, "float32")
    whole_bias[present] = bias

    log_probabilities = _log_probabilities(others, whole, whole_bias)
    correct = log_probabilities.argmax(axis=1) == other_labels
    rows = np.bincount(other_labels, minlength=classes)
    recall = np.bincount(other_labels, correct, minlength=classes)[rows > 0] / rows[rows > 0]
    return LinearProbe(
        kernel=whole,
        bias=whole_bias,
        C=strength,
        accuracy=bootstrap_mean(correct, seed),
        balanced_accuracy=float(recall.mean()),
        log_loss=float(-log_probabilities[np.arange(len(others)), other_labels].mean()),
        probabilities=np.exp(log_probabilities).astype("float32"),
        rows=len(labels),
        rows_given=given,
    )


def _fit(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    seed: int,
    class_weight: str | None,
    sample_weight: np.ndarray | None,
    groups: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Fits kernel and bias for raw features; returns them with C and the lowest logit of a training row."""
    mean = features.mean(axis=0, dtype="float64")
    deviation = features.std(axis=0, dtype="float64")
    varies = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6)  # what differs only by rounding is constant
    variance = deviation[varies] ** 2
    inverse = np.zeros_like(deviation)
    if varies.any():
        count = len(labels)
        inverse[varies] = ((count * variance + _PRIOR_ROWS * variance.mean()) / (count + _PRIOR_ROWS)) ** -0.5
    standard = (features - mean) * inverse
    components = _principal(standard)
    rows = standard if components is None else standard @ components
    targets = np.eye(classes)[labels]
    weights = np.ones(len(labels))
    if class_weight == "balanced":
        weights = (len(labels) / (classes * np.bincount(labels, minlength=classes)))[labels]
    if sample_weight is not None and sample_weight.any():
        weights = weights * sample_weight / sample_weight.mean()
    fold = stratified_folds(labels, _parts(len(labels))[0], seed, groups)
    strength, start = _choose(rows, targets, weights, fold, features.shape[1])
    solution = softmax_regression(rows, targets, weights, strength, start, tolerance=1e-6)
    lowest = float((rows @ solution[:-1] + solution[-1]).min())
    kernel = solution[:-1] if components is None else components @ solution[:-1]
    kernel = (kernel * inverse[:, None]).astype("float32")  # before the bias, which then absorbs the rounding
    return kernel, solution[-1] - mean @ kernel, strength, lowest


def _choose(
    rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, fold: np.ndarray, dims: int
) -> tuple[float, np.ndarray | None]:
    """Chooses C by the log-loss of held-out rows; returns it with a point near the optimum."""
    held_out = _parts(len(fold))[1]
    rows, targets, weights = (array.astype("float32") for array in (rows, targets, weights))
    splits = [
        (fold != number, fold == number)
        for number in range(held_out)
        if (fold == number).any() and (fold != number).any()  # one group may be all rows
    ]
    if not splits:  # one image per class
        return _UNTRIED / dims, None
    starts: list[np.ndarray | None] = [None] * len(splits)
    best: tuple[float, float, np.ndarray | None] = (np.inf, _UNTRIED, None)
    for strength in STRENGTHS:
        total = 0.0
        for number, (train, test) in enumerate(splits):
            found = softmax_regression(rows[train], targets[train], weights[train], strength / dims, starts[number])
            starts[number] = found
            logits = _log_probabilities(rows[test], found[:-1], found[-1])
            total -= float(np.sum(weights[test] * logits[targets[test] > 0]))
        if total >= best[0]:
            break
        best = (total, strength, starts[0])
    return best[1] / dims, best[2]


def _parts(count: int) -> tuple[int, int]:
    """Number of folds of so many rows, and of those that are held out."""
    return (5, 5) if count <= 1_000 else (3, 3) if count <= 3_000 else (5, 1)


def _principal(standard: np.ndarray) -> np.ndarray | None:
    """(D, R) orthonormal directions in which the rows vary, R at most min(N, D)."""
    count, dims = standard.shape
    if min(count, dims) > _ROTATED_DIMS:
        return None
    if count < dims:
        values, vectors = np.linalg.eigh(standard @ standard.T)
        kept = values > 1e-10 * max(values[-1], 1e-300)
        return standard.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    values, vectors = np.linalg.eigh(standard.T @ standard)
    return vectors[:, values > 1e-10 * max(values[-1], 1e-300)]


def _log_probabilities(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return special.log_softmax((features @ kernel + bias).astype("float64"), axis=1)

"""The choice of a remedy for a trained classifier, by validation images that each candidate is cross-fitted on."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from kerastricks.errors import DataError, UnknownNameError
from kerastricks.imbalance.post_hoc import METRICS, class_score, log_prior, tau_scale, tune_offsets
from kerastricks.metrics.bootstrap import Estimate

# From the simplest on: where several are as good as the best, the first is taken.
METHODS = ("unchanged", "logit_adjustment", "tau_norm", "retrain", "thresholds")
LOGIT_TAUS = tuple(step / 10 for step in range(21))
NORM_TAUS = tuple(step / 10 for step in range(16))
KEPT_SHARES = (0.25, 0.5, 0.75, 1.0)
MOST_TUNED = 200  # classes
_FOLDS, _RESAMPLES, _EQUAL = 5, 500, 1e-12


@dataclass(frozen=True, eq=False)
class TriedRemedy:
    """A remedy that was tried on validation images.

    Args:
        method: one of `METHODS`.
        tau: of "logit_adjustment" and "thresholds" (where the offsets start) and of "tau_norm"; None for others.
        kept_share: share of the tuned offsets that "thresholds" keeps, the rest being those of tau; None for others.
        offsets: (K,) added to logits; None for "tau_norm" and "retrain".
        validation: score of the images that chose tau and offsets.
        cross_fitted: score with each image predicted by a tau and offsets that the other images chose.
        gain: of `cross_fitted` over the unchanged network, with its 90 % interval over images.
        predicted: (N,) classes predicted in cross-fitting.
    """

    method: str
    tau: float | None
    kept_share: float | None
    offsets: np.ndarray | None
    validation: float
    cross_fitted: float
    gain: Estimate
    predicted: np.ndarray


def find_remedies(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    counts: Sequence[int] | np.ndarray,
    metric: str = "balanced_accuracy",
    *,
    methods: Collection[str] = METHODS,
    kernel: np.ndarray | None = None,
    features: np.ndarray | None = None,
    retrained: np.ndarray | None = None,
    seed: int = 0,
) -> list[TriedRemedy]:
    """Fit each remedy to validation images, and estimate its score on others by cross-fitting.

    tau is taken from 0, 0.1 ... 2 (logit adjustment) or 1.5 (tau-normalisation), the smallest of the best. In
    cross-fitting five folds, in which classes keep their shares, are predicted by what the other four chose, tau
    included, so that a remedy with many numbers to fit is compared with simple ones as it will do on new images.

    Args:
        log_probabilities: (N, K) of the network, finite.
        labels: (N,) integers.
        counts: (K,) training images of each class.
        metric: "balanced_accuracy", "macro_f1" or "accuracy".
        methods: those to try.
        kernel: (D, K) of the last dense layer; without it "tau_norm" is left out.
        features: (N, D) that the last dense layer gets; without them "tau_norm" is left out.
        retrained: (N, K) outputs of a retrained last layer; without them "retrain" is left out.
        seed: of folds and bootstrap.

    Returns:
        The unchanged network, then the candidates in the order of `METHODS`.

    Raises:
        DataError: for outputs that are not finite, fewer than two images, or a class without a training image.
        UnknownNameError: for an unknown metric or method.

    Example:
        >>> import numpy as np
        >>> from kerastricks.imbalance import find_remedies
        >>> labels = np.arange(40) % 2
        >>> logits = np.eye(2)[labels] * 2 + [2.5, 0]
        >>> logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        >>> [(one.method, one.tau, one.cross_fitted) for one in find_remedies(logits, labels, [90, 10])][:2]
        [('unchanged', None, 0.5), ('logit_adjustment', 0.3, 1.0)]
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    for name in methods:
        if name not in METHODS:
            raise UnknownNameError("method", name, METHODS)
    logits = np.asarray(log_probabilities, "float64")
    if len(labels) < 2 or not np.isfinite(logits).all():
        raise DataError(
            f"log_probabilities must be finite and of two images or more. Received: {len(labels)} images, "
            f"{int((~np.isfinite(logits)).any(axis=1).sum())} with outputs that are not finite"
        )
    tried = _Trials(np.asarray(labels), metric, logits.shape[1], seed, logits.argmax(axis=1))
    found = [tried.remedy("unchanged", tried.unchanged, tried.unchanged)]
    prior = log_prior(counts)
    if {"logit_adjustment", "thresholds"} & set(methods):
        by_tau = np.stack([(logits - tau * prior).argmax(axis=1) for tau in LOGIT_TAUS])
        found.append(tried.by_tau("logit_adjustment", by_tau, LOGIT_TAUS, lambda tau: -tau * prior))
    if "tau_norm" in methods and kernel is not None and features is not None:
        without_bias = np.asarray(features, "float64") @ np.asarray(kernel, "float64")
        scaled = np.stack([(without_bias * tau_scale(kernel, tau)).argmax(axis=1) for tau in NORM_TAUS])
        found.append(tried.by_tau("tau_norm", scaled, NORM_TAUS, lambda tau: None))
    if "retrain" in methods and retrained is not None:
        predicted = np.asarray(retrained).argmax(axis=1)
        found.append(tried.remedy("retrain", predicted, predicted))
    if "thresholds" in methods:
        found.append(_tuned(tried, logits, by_tau, prior))
    return found


def choose_remedy(
    remedies: Sequence[TriedRemedy],
    labels: np.ndarray,
    metric: str = "balanced_accuracy",
    *,
    asked: str = "auto",
    seed: int = 0,
) -> TriedRemedy:
    """Choose the simplest remedy that is as good as the best by its cross-fitted score.

    As good means: not below it by more than one standard error of the difference, over images. A method that is asked
    for is taken where it gains anything in cross-fitting, and the network is left unchanged where it does not; tuned
    offsets give way to those of tau where they do not score above them.

    Args:
        remedies: of `find_remedies`, the unchanged network first.
        labels: (N,) integers.
        metric: that they were found by.
        asked: a method among the remedies, or "auto".
        seed: of the bootstrap.

    Raises:
        UnknownNameError: for a method that was not tried.

    Example:
        >>> import numpy as np
        >>> from kerastricks.imbalance import choose_remedy, find_remedies
        >>> labels = np.arange(40) % 2
        >>> logits = np.eye(2)[labels] * 2 + [2.5, 0]
        >>> logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        >>> choose_remedy(find_remedies(logits, labels, [90, 10]), labels).method
        'logit_adjustment'
    """
    labels = np.asarray(labels)
    by_method = {one.method: one for one in remedies}
    if asked != "auto":
        if asked not in by_method:
            raise UnknownNameError("method", asked, ("auto", *by_method))
        chosen = by_method[asked]
        simpler = by_method.get("logit_adjustment")
        if asked == "thresholds" and simpler is not None and chosen.cross_fitted <= simpler.cross_fitted + _EQUAL:
            chosen = simpler
        return chosen if chosen.cross_fitted > remedies[0].cross_fitted + _EQUAL else remedies[0]
    best = max(remedies, key=lambda one: one.cross_fitted)
    classes = 1 + max(int(labels.max()), *(int(one.predicted.max()) for one in remedies))
    for one in sorted(remedies, key=lambda one: METHODS.index(one.method)):
        below = paired_gain(metric, labels, one.predicted, best.predicted, classes, seed)
        if below.value <= below.standard_error:
            return one
    return best


def paired_gain(
    metric: str, labels: np.ndarray, before: np.ndarray, after: np.ndarray, classes: int, seed: int = 0
) -> Estimate:
    """Estimate by how much predictions score above others, resampling the images within each class.

    A class of a single image is always the same: its share of the uncertainty is not seen.

    Args:
        metric: see `class_score`.
        labels: (N,) integers.
        before: (N,) integers.
        after: (N,) integers.
        classes: K.
        seed: of the bootstrap.

    Returns:
        The difference with its 90 % interval and standard error.
    """
    value = class_score(metric, labels, after, classes) - class_score(metric, labels, before, classes)
    if (before == after).all():
        return Estimate(0.0, 0.0, 0.0, 0.0)
    order = np.argsort(labels, kind="stable")
    images = np.bincount(labels, minlength=classes)
    size = images[labels[order]]
    first = (np.cumsum(images) - images)[labels[order]]
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(_RESAMPLES):
        drawn = order[first + (generator.random(len(labels)) * size).astype("int64")]
        given = labels[drawn]
        found.append(class_score(metric, given, after[drawn], classes))
        found[-1] -= class_score(metric, given, before[drawn], classes)
    low, high = np.percentile(found, [5, 95])
    return Estimate(value, float(low), float(high), float(np.std(found, ddof=1)))


class _Trials:
    """The images that remedies are tried on, in folds."""

    def __init__(self, labels: np.ndarray, metric: str, classes: int, seed: int, unchanged: np.ndarray) -> None:
        self.labels, self.metric, self.classes, self.seed, self.unchanged = labels, metric, classes, seed, unchanged
        mixed = np.random.default_rng(seed).permutation(len(labels))
        self.folds = np.empty(len(labels), "int64")
        dealt = mixed[np.argsort(labels[mixed], kind="stable")]
        self.folds[dealt] = np.arange(len(labels)) % min(_FOLDS, len(labels))

    def score(self, predicted: np.ndarray, rows: np.ndarray | slice = slice(None)) -> float:
        return class_score(self.metric, self.labels[rows], predicted[rows], self.classes)

    def best(self, predictions: np.ndarray, rows: np.ndarray | slice = slice(None)) -> int:
        """Index of the first of the best (T, N) predictions."""
        scores = np.array([self.score(one, rows) for one in predictions])
        return int(np.argmax(scores >= scores.max() - _EQUAL))

    def each_fold(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Masks (N,) of the images that choose, and of those that are predicted."""
        return [(self.folds != fold, self.folds == fold) for fold in np.unique(self.folds)]

    def remedy(
        self,
        method: str,
        predicted: np.ndarray,
        out_of_fold: np.ndarray,
        tau: float | None = None,
        kept_share: float | None = None,
        offsets: np.ndarray | None = None,
    ) -> TriedRemedy:
        gain = paired_gain(self.metric, self.labels, self.unchanged, out_of_fold, self.classes, self.seed)
        scores = self.score(predicted), self.score(out_of_fold)
        return TriedRemedy(method, tau, kept_share, offsets, *scores, gain, out_of_fold)

    def by_tau(
        self,
        method: str,
        predictions: np.ndarray,
        taus: Sequence[float],
        offsets: Callable[[float], np.ndarray | None],
    ) -> TriedRemedy:
        """The remedy with the tau of the best of the predictions (T, N)."""
        out_of_fold = np.empty(len(self.labels), "int64")
        for choosing, held_out in self.each_fold():
            out_of_fold[held_out] = predictions[self.best(predictions, choosing)][held_out]
        chosen = self.best(predictions)
        return self.remedy(method, predictions[chosen], out_of_fold, taus[chosen], None, offsets(taus[chosen]))


def _tuned(tried: _Trials, logits: np.ndarray, by_tau: np.ndarray, prior: np.ndarray) -> TriedRemedy:
    """Offsets tuned from those of tau on, of which the share is kept that does best in cross-fitting."""

    def fit(rows: np.ndarray | slice) -> tuple[float, np.ndarray, np.ndarray]:
        tau = LOGIT_TAUS[tried.best(by_tau, rows)]
        return tau, -tau * prior, tune_offsets(logits[rows], tried.labels[rows], tried.metric, -tau * prior)

    out_of_fold = np.empty((len(KEPT_SHARES), len(tried.labels)), "int64")
    for choosing, held_out in tried.each_fold():
        _, start, tuned = fit(choosing)
        for number, share in enumerate(KEPT_SHARES):
            out_of_fold[number, held_out] = (logits[held_out] + start + share * (tuned - start)).argmax(axis=1)
    number = tried.best(out_of_fold)
    tau, start, tuned = fit(slice(None))
    offsets = start + KEPT_SHARES[number] * (tuned - start)
    predicted = (logits + offsets).argmax(axis=1)
    return tried.remedy("thresholds", predicted, out_of_fold[number], tau, KEPT_SHARES[number], offsets)

"""Choose a combination by images that no member was trained on: model selection by cross-validation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.combination_fitting import FITTED_METHODS, SCALINGS, fit_combination, out_of_fold
from kerastricks.errors import EnsembleError
from kerastricks.metrics.bootstrap import Estimate, paired_bootstrap
from kerastricks.metrics.calibration import log_losses, member_rows, quality

Pair = tuple[str, str]  # method and scaling
Losses = dict[Pair, np.ndarray]
_LARGE_KERNEL = 10_000  # numbers; more of them would make records that grow with the square of the classes
_WORTH = 0.01  # a hundredth of the log-loss: of many images less is no noise, and no reason to run more networks


@dataclass(frozen=True, eq=False)
class Candidate:
    """A combination method, fitted to all images and scored by out-of-fold predictions.

    Args:
        method: one of "best", "mean", "geometric", "weighted", "greedy", "vote", "stack".
        scaling: where temperatures were found to help: "none", "after", "before" or "both".
        combination: fitted to all images.
        log_loss: out of fold, in nats.
        accuracy: out of fold.
        calibration_error: out of fold.
        gain: log-loss of the best single member less that of this one, image by image; above 0 is better.
        accuracy_gain: accuracy of this one less that of the best single member.
    """

    method: str
    scaling: str
    combination: Combination
    log_loss: Estimate
    accuracy: Estimate
    calibration_error: float
    gain: Estimate
    accuracy_gain: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; a stacking's kernel of more than 10,000 numbers is left out (None)."""
        estimates = {name: asdict(getattr(self, name)) for name in ("log_loss", "accuracy", "gain", "accuracy_gain")}
        return {
            "method": self.method,
            "scaling": self.scaling,
            "combination": self.combination.to_json(_LARGE_KERNEL),
            "calibration_error": self.calibration_error,
            **estimates,
        }


@dataclass(frozen=True, eq=False)
class Choice:
    """The chosen combination, the candidates, and the reason.

    Args:
        method: the chosen candidate's.
        combination: the chosen candidate's.
        candidates: from simple to less so.
        best_member: name of the member that is the best single one on all images.
        reason: one or two sentences with the figures.
    """

    method: str
    combination: Combination
    candidates: list[Candidate]
    best_member: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "method": self.method,
            "combination": self.combination.to_json(),
            "best_member": self.best_member,
            "reason": self.reason,
            "candidates": [candidate.to_json() for candidate in self.candidates],
        }


def choose(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    seed: int = 0,
    methods: Sequence[str] | None = None,
    scalings: Sequence[str] = SCALINGS,
    groups: np.ndarray | None = None,
) -> Choice:
    """Choose the simplest combination that none beats, by cross-validation.

    All that is fitted, weights, temperatures and which single member is the best, is fitted to four fifths of the
    images and scored on the other fifth, five times. The lowest mean log-loss need not be the answer: taken is the
    first, in the order best single member, mean, geometric, weighted, greedy, vote, stack and of each the one with the
    fewest temperatures, that no method beats: its distance to the lowest of every method is within noise (the 90 %
    bootstrap interval of the paired differences includes 0) or may be less than a hundredth of the log-loss. So with
    few images the answer is often the single member or the plain mean, and the figures of the candidates say what more
    images could show.

    Args:
        log_probabilities: (M, N, K) of images that no member was trained on; logits will do.
        labels: (N,) integers.
        names: M names of members, for the reason.
        seed: of folds, bags and bootstrap.
        methods: which to choose among; None for all. The best single member is always a candidate to compare with.
        scalings: which temperatures are tried, as in `fit_combination`; ("none",) for none.
        groups: (N,) of str, groups of the images that no two folds share; None for none.

    Returns:
        A `Choice`.

    Raises:
        EnsembleError: for other shapes, labels out of range or of one class, less than four images, NaN or plus
            infinity, one member.
        ValueError: for an unknown method or scaling, or another number of names.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import choose
        >>> generator = np.random.default_rng(0)
        >>> labels = generator.integers(0, 3, 300)
        >>> members = 2 * np.eye(3)[labels] + generator.normal(0, 1.5, (4, 300, 3))
        >>> choose(members, labels, ["a", "b", "c", "d"], methods=["mean", "geometric"]).method
        'geometric'

    Reference:
        The one-standard-error idea: Breiman et al., Classification and regression trees, 1984, 3.4.3. Deviation: the
        spread is that of the paired difference, and there is an interval in place of one standard error. What is fitted
        to more images than it is judged with is a little better than its score.
    """
    rows, labels = member_rows(log_probabilities, labels)
    if len(rows) < 2:
        raise EnsembleError("log_probabilities must be of two members or more. Received: one; add a member")
    if len(names) != len(rows):
        raise ValueError(f"names must be one for each of {len(rows)} members. Received: {len(names)}")
    wanted = _wanted(methods)
    if not scalings or not set(scalings) <= set(SCALINGS):
        raise ValueError(f"scalings must be some of {', '.join(SCALINGS)}. Received: scalings={list(scalings)}")
    tried = [method for method in FITTED_METHODS if method in wanted or method == "best"]
    judged = out_of_fold(rows, labels, tried, seed, scalings, groups)
    pairs = [(method, scaling) for method in tried for scaling in judged[method]]
    losses = {(method, scaling): log_losses(judged[method][scaling], labels) for method, scaling in pairs}
    means = {pair: float(losses[pair].mean()) for pair in pairs}
    lowest = min((pair for pair in pairs if pair[0] in wanted), key=means.__getitem__)
    # The lowest of each method: a stacking may be lowest and uncertain where the mean is surely better than one member.
    best = {method: min((pair for pair in pairs if pair[0] == method), key=means.__getitem__) for method in tried}
    excess = _excesses(losses, list(best.values()), seed)
    rivals = [best[method] for method in wanted]
    chosen = next(
        pair
        for pair in pairs
        if pair[0] in wanted and all(excess[rival][pair].low <= _WORTH * means[rival] for rival in rivals)
    )
    # Of each method the simplest scaling that is within noise of its lowest.
    scaling_of = dict(
        next(pair for pair in pairs if pair[0] == method and excess[best[method]][pair].low <= 0) for method in tried
    )
    # The answer keeps the scaling it was found with.
    scaling_of |= dict([lowest, chosen])
    out = {method: judged[method][scaling_of[method]] for method in tried}
    right = {method: (out[method].argmax(axis=1) == labels).astype("float64") for method in tried}
    loss = {method: losses[method, scaling_of[method]] for method in tried}
    measures = [
        [loss[method], right[method], loss["best"] - loss[method], right[method] - right["best"]] for method in tried
    ]
    estimates = iter(paired_bootstrap(np.concatenate(measures), seed))
    candidates = [
        Candidate(
            method=method,
            scaling=scaling_of[method],
            combination=fit_combination(method, rows, labels, seed, scaling_of[method], groups),
            log_loss=next(estimates),
            accuracy=next(estimates),
            calibration_error=quality(out[method], labels)["calibration_error"],
            gain=next(estimates),
            accuracy_gain=next(estimates),
        )
        for method in tried
    ]
    found = {candidate.method: candidate for candidate in candidates}
    answer, single = found[chosen[0]], found["best"]
    assert single.combination.weights is not None
    name = names[int(single.combination.weights.argmax())]
    return Choice(
        method=answer.method,
        combination=answer.combination,
        candidates=candidates,
        best_member=name,
        reason=_reason(answer, single, found[lowest[0]], excess[lowest][chosen], name),
    )


def _excesses(losses: Losses, lowest: Sequence[Pair], seed: int) -> dict[Pair, dict[Pair, Estimate]]:
    """Paired differences of all losses from each of some; the images are resampled once, which is most of the time."""
    differences = [losses[pair] - losses[low] for low in lowest for pair in losses]
    estimates = iter(paired_bootstrap(np.stack(differences), seed))
    return {low: {pair: next(estimates) for pair in losses} for low in lowest}


def _wanted(methods: Sequence[str] | None) -> list[str]:
    if methods is None:
        return list(FITTED_METHODS)
    wanted = ["geometric" if method == "logits" else method for method in methods]
    unknown = [method for method in wanted if method not in FITTED_METHODS]
    if unknown or not wanted:
        raise ValueError(f"methods must be some of {', '.join(FITTED_METHODS)}. Received: methods={list(methods)}")
    return wanted


def _reason(chosen: Candidate, single: Candidate, lowest: Candidate, excess: Estimate, name: str) -> str:
    small = "which is within noise" if excess.low <= 0 else "which may be less than a hundredth"
    if chosen is single:
        if lowest is single:
            return f"The single best member, {name}, has the lowest log-loss, {single.log_loss}: no combination gains."
        return (
            f"The single best member, {name}, is as good: its log-loss is {single.log_loss}, and that of the lowest, "
            f"{_titled(lowest)}, is {excess} less, {small}."
        )
    ours = f"Log-loss {chosen.log_loss} with {_titled(chosen)}, {single.log_loss.value:.3f} with the single best member"
    if chosen.gain.value > 0:
        difference = f"a gain of {chosen.gain}" + ("" if chosen.gain.low > 0 else ", which may be noise")
    else:
        difference = f"{-chosen.gain.value:.3f} more, so that single member is the better answer"
    if chosen is lowest:
        return f"{ours}, {name}: {difference}. No simpler combination is as good, and no other is better."
    return f"{ours}, {name}: {difference}. The lowest, {_titled(lowest)}, is {excess} below it, {small}."


def _titled(candidate: Candidate) -> str:
    return candidate.method if candidate.scaling == "none" else f"{candidate.method} and temperatures"

"""Combinations fitted to labels by the name of their method, and their out-of-fold predictions."""

from collections.abc import Sequence

import numpy as np

from kerastricks.ensemble.combination import Combination, tempered
from kerastricks.ensemble.stacking import fit_stacking, fit_temperature, held_out_folds
from kerastricks.ensemble.weights import convex_weights, greedy_selection
from kerastricks.metrics.calibration import log_losses, member_rows

# From simple to less so.
FITTED_METHODS = ("best", "mean", "geometric", "weighted", "greedy", "vote", "stack")
SCALINGS = ("none", "after", "before", "both")


def fit_combination(
    method: str,
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    seed: int = 0,
    scaling: str = "none",
    groups: np.ndarray | None = None,
) -> Combination:
    """Fit a combination of one method to labels.

    Args:
        method: "best" (the member of least log-loss), "mean", "geometric" (or "logits"), "weighted" (`convex_weights`),
            "greedy" (`greedy_selection`), "vote" or "stack" (`fit_stacking`).
        log_probabilities: (M, N, K) of images that no member was trained on; logits will do.
        labels: (N,) integers.
        seed: of greedy selection and stacking.
        scaling: which temperatures are fitted: "before", one for each member; "after", one for the combined
            distribution; "both"; "none".
        groups: (N,) of str, groups of the images that no two folds share; None for none.

    Returns:
        The `Combination`.

    Raises:
        ValueError: for an unknown method or scaling.
        EnsembleError: for other shapes, labels out of range, NaN or plus infinity.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import fit_combination
        >>> members = np.log([[[0.8, 0.2], [0.3, 0.7]], [[0.5, 0.5], [0.5, 0.5]]])
        >>> fit_combination("best", members, np.array([0, 1])).weights.tolist()
        [1.0, 0.0]

    Reference:
        Temperatures: Guo et al., arXiv 1706.04599. When to scale: Rahaman, Thiery: Uncertainty quantification and deep
        ensembles, arXiv 2007.08792: a mean of calibrated members is underconfident, so they scale after it.
    """
    method = "geometric" if method == "logits" else method
    if method not in FITTED_METHODS:
        raise ValueError(f"method must be one of {', '.join(FITTED_METHODS)}, logits. Received: method={method!r}")
    if scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}. Received: scaling={scaling!r}")
    rows, labels = member_rows(log_probabilities, labels)
    temperatures = member_temperatures(rows, labels) if scaling in ("before", "both") else None
    return fit_at(method, rows, labels, seed, temperatures, scaling in ("after", "both"), groups)


def member_temperatures(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fit a temperature to each member.

    Args:
        log_probabilities: (M, N, K).
        labels: (N,) integers.

    Returns:
        (M,) float64.
    """
    return np.array([fit_temperature(member, labels) for member in log_probabilities])


def fit_at(
    method: str,
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    seed: int,
    temperatures: np.ndarray | None,
    scale_after: bool,
    groups: np.ndarray | None = None,
) -> Combination:
    """Fit a combination to members at given temperatures.

    Args:
        method: one of `FITTED_METHODS`.
        log_probabilities: (M, N, K).
        labels: (N,) integers.
        seed: of greedy selection and stacking.
        temperatures: (M,) of the members; None for ones.
        scale_after: whether to fit a temperature of the combined distribution.
        groups: (N,) of str, groups of the images that no two folds share; None for none.

    Returns:
        The `Combination`.
    """
    log_q = tempered(log_probabilities, 1.0 if temperatures is None else temperatures)
    unseen = None
    if method == "stack":
        stacking = fit_stacking(log_q, labels, seed, groups)
        kernel, bias = stacking.combination.kernel, stacking.combination.bias
        found = Combination("stack", temperatures=temperatures, kernel=kernel, bias=bias)
        unseen = stacking.out_of_fold  # on the images of its fit it is overconfident, and would be made more so
    else:
        weights = None
        if method == "best":
            losses = [log_losses(np.exp(member), labels).mean() for member in log_q]
            weights = np.eye(len(log_q))[int(np.argmin(losses))]
        elif method == "weighted":
            weights = convex_weights(log_q, labels)
        elif method == "greedy":
            weights = greedy_selection(log_q, labels, seed=seed)
        name = "mean" if method in ("weighted", "greedy") else method
        found = Combination(name, weights=weights, temperatures=temperatures)
    if not scale_after:
        return found
    combined = found.apply(log_probabilities) if unseen is None else unseen
    temperature = fit_temperature(np.log(np.maximum(combined, np.finfo("float64").tiny)), labels)
    return Combination(found.method, found.weights, temperatures, temperature, found.kernel, found.bias)


# Scaling a single member before or after is the same; a stacking scales by its kernel.
_SCALINGS = {"best": ("none", "before"), "stack": ("none",)}


def out_of_fold(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    methods: Sequence[str],
    seed: int = 0,
    scalings: Sequence[str] = SCALINGS,
    groups: np.ndarray | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Predict out of fold: fit every method with every scaling to four fifths of the images, predict the other fifth.

    Only the strength of `stack` is chosen with all folds in view.

    Args:
        log_probabilities: (M, N, K).
        labels: (N,) integers.
        methods: names of `fit_combination`.
        seed: of folds and fits.
        scalings: which to try; a method that has none of them is fitted as it is.
        groups: (N,) of str, groups of the images that no two folds share; None for none.

    Returns:
        By method, then by scaling from simple to less so, (N, K) probabilities.

    Raises:
        EnsembleError: for less than four images, or one class.
    """
    fold = held_out_folds(labels, seed, groups)
    tried = {method: [each for each in _SCALINGS.get(method, SCALINGS) if each in scalings] for method in methods}
    found = {
        method: {scaling: np.zeros(log_probabilities.shape[1:]) for scaling in tried[method] or ["none"]}
        for method in methods
    }
    for number in np.unique(fold):
        seen, held_out = fold != number, fold == number
        rows, others = log_probabilities[:, seen], log_probabilities[:, held_out]
        temperatures = member_temperatures(rows, labels[seen])
        for method in found:
            if method == "stack":
                continue
            for scaling, probabilities in found[method].items():
                before = temperatures if scaling in ("before", "both") else None
                fitted = fit_at(method, rows, labels[seen], seed, before, scaling in ("after", "both"))
                probabilities[held_out] = fitted.apply(others)
    if "stack" in found:
        found["stack"]["none"] = fit_stacking(log_probabilities, labels, seed, groups).out_of_fold
    return found

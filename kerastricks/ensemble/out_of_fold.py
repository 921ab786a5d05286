"""Predictions of every combination for images that it was not fitted to."""

from collections.abc import Sequence

import numpy as np

from kerastricks.ensemble.combination_fitting import SCALINGS, fit_at, member_temperatures
from kerastricks.ensemble.folds import held_out_folds
from kerastricks.ensemble.stacking import fit_stacking

# Scaling a single member before or after is the same; a stacking scales by its kernel.
_SCALINGS = {"best": ("none", "before"), "stack": ("none",)}


def out_of_fold(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    methods: Sequence[str],
    seed: int = 0,
    scalings: Sequence[str] = SCALINGS,
) -> dict[str, dict[str, np.ndarray]]:
    """Fits every method with every scaling to each four fifths of the images and predicts the fifth that is left.

    Of `stack` only the strength is chosen with all folds in view.

    Args:
        log_probabilities: (M, N, K).
        labels: (N,) integers.
        methods: names of `fit_combination`.
        seed: of folds and fits.
        scalings: which to try; a method that has none of them is fitted as it is.

    Returns:
        By method, then by scaling from simple to less so, (N, K) probabilities.

    Raises:
        EnsembleError: for less than four images, or one class.
    """
    fold = held_out_folds(labels, seed)
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
        found["stack"]["none"] = fit_stacking(log_probabilities, labels, seed).out_of_fold
    return found

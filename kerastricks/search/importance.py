"""Importance of hyperparameters: the share of the objective's variance that each explains (functional ANOVA)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastricks.charts.axes import ValueAxis, value_axes
from kerastricks.search.trial_record import TrialRecord, has_score

LEAST_TRIALS = 10
_TREES = 64
_GRID = 32
_INACTIVE = -1.0


@dataclass(frozen=True)
class Share:
    """The main effect of one hyperparameter, as a share of the variance.

    Args:
        name: of the value.
        share: from 0 to 1, the mean over the trees.
        low: the 10 % quantile over the trees.
        high: the 90 % quantile.
    """

    name: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """The hyperparameters by their importance.

    Args:
        shares: largest first; none where they cannot be told.
        rest: the share that values explain only together, from 0 to 1.
        fit: R2 of the forest on trials its trees have not seen; at 0 and below the values do not predict the objective.
        trials: how many were used.
        note: a caution, in a sentence or two; "" for none.
    """

    shares: tuple[Share, ...]
    rest: float
    fit: float
    trials: int
    note: str


def importance_of(records: Sequence[TrialRecord], log_names: Collection[str] | None = None) -> Importance:
    """Decomposes the variance of the objective by hyperparameter (functional ANOVA of a random forest).

    The forest predicts the trial's rank by the objective, so that one loss of a million does not count for more than
    all the others. A value that a trial does not have is a level of its own, as frequent as it was in the trials.
    Stopped trials take part with their last score; failed ones do not.

    Args:
        records: of finished trials.
        log_names: values on a logarithmic scale; by default those that look so.

    Returns:
        The shares with their spread over the trees, each of which is grown on its own resample of the trials.

    Reference:
        Hutter, Hoos, Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014,
        algorithm 2, for single values. Deviations: ranks instead of the objective; each value is uniform over the
        range that was tried, not over the whole space; an inactive value is a level of its own.
    """
    used = [record for record in records if has_score(record)]
    axes = [axis for axis in value_axes([record.values for record in used], log_names) if not axis.constant]
    scores = [record.score for record in used]
    if len(used) < LEAST_TRIALS:
        return _none(len(used), f"Needs {LEAST_TRIALS} trials with a score; so far: {len(used)}.")
    if not axes:
        return _none(len(used), "All trials have the same values.")
    if len(set(scores)) < 2:
        return _none(len(used), "All trials have the same score.")
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor

    places = np.array([[_place(axis, record) for axis in axes] for record in used], np.float32)
    target = rankdata(scores) / len(used)
    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1).fit(
        places, target
    )
    levels = [_levels(axis, column) for axis, column in zip(axes, places.T, strict=True)]
    splits = [marginal_shares(tree.tree_, levels) for tree in forest.estimators_]
    shares = np.array([split for split in splits if split is not None]).reshape(-1, len(axes))
    if not len(shares):
        return _none(len(used), "The trees find no difference between the values.")
    low, high = np.quantile(shares, [0.1, 0.9], axis=0)
    rows = [Share(axis.name, *map(float, row)) for axis, *row in zip(axes, shares.mean(0), low, high, strict=True)]
    rows.sort(key=lambda row: -row.share)
    fit = float(forest.oob_score_)
    rest = float(max(0.0, 1 - shares.sum(axis=1).mean()))
    return Importance(tuple(rows), rest, fit, len(used), _note(fit, len(used), len(axes)))


def marginal_shares(tree: Any, levels: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray | None:
    """For each column the share of a tree's variance that it explains by itself; None where the tree is constant.

    Args:
        tree: scikit-learn's `tree_`.
        levels: for each column its places and their weights, which sum to 1; the columns are independent.
    """
    leaves = _leaves(tree, levels)
    values = np.array([value for value, _ in leaves])
    held = [np.array([box[column] for _, box in leaves]) for column in range(len(levels))]
    weights = np.array([mask @ weight for mask, (_, weight) in zip(held, levels, strict=True)])
    everywhere = weights.prod(axis=0)
    mean = values @ everywhere
    variance = (values - mean) ** 2 @ everywhere
    if variance <= 1e-12:
        return None
    shares = []
    for column, (mask, (_, weight)) in enumerate(zip(held, levels, strict=True)):
        others = np.delete(weights, column, axis=0).prod(axis=0)
        marginal = (values * others) @ mask
        shares.append((marginal - mean) ** 2 @ weight / variance)
    return np.array(shares)


def _leaves(tree: Any, levels: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[tuple[float, list[np.ndarray]]]:
    """The value of each leaf, and the levels of each column that lead there."""
    found = []
    waiting = [(0, [np.ones(len(places), bool) for places, _ in levels])]
    while waiting:
        node, box = waiting.pop()
        column = tree.feature[node]
        if column < 0:
            found.append((float(tree.value[node].item()), box))
            continue
        below = levels[column][0] <= tree.threshold[node]
        for child, side in ((tree.children_left[node], below), (tree.children_right[node], ~below)):
            part = list(box)
            part[column] = part[column] & side
            waiting.append((child, part))
    return found


def _place(axis: ValueAxis, record: TrialRecord) -> float:
    return axis.place(record.values[axis.name]) if axis.name in record.values else _INACTIVE


def _levels(axis: ValueAxis, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inactive = float((column == _INACTIVE).mean())
    if axis.kind == "category" or len(axis.values) <= _GRID:
        places = np.array([axis.place_of_level(index) for index in range(len(axis.values))], np.float32)
    else:
        places = ((np.arange(_GRID) + 0.5) / _GRID).astype(np.float32)
    weights = np.full(len(places), (1 - inactive) / len(places))
    if inactive:
        places, weights = np.append(places, np.float32(_INACTIVE)), np.append(weights, inactive)
    return places, weights


def _note(fit: float, trials: int, values: int) -> str:
    if fit <= 0:
        return (
            "The values do not predict the objective of trials that were held out (R² ≤ 0): "
            "what is shown is mostly noise. More trials are needed."
        )
    if trials < max(30, 5 * values):
        return f"Only {trials} trials for {values} values: the order of the bars may still change."
    return ""


def _none(trials: int, note: str) -> Importance:
    return Importance((), 0.0, 0.0, trials, note)

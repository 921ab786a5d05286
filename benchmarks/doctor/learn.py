"""Learn the doctor's tables from the corpus: states of the learning rate, and batches that are too small.

    python benchmarks/doctor/learn.py benchmarks/doctor/corpus.npz kerastricks/doctor/tables.json

A generalised additive model of piecewise constants: each measure is cut at quantiles of the corpus, and boosted stumps
give what each range adds to each state. There are two tables for the rate, for logs whose optimizer is known and
others, each learned from whole logs and from those without the losses of steps. Whether the batch is too small is a
logistic regression on what the table says of the rate, and on the batch.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Run, advice_steps, load, rate_states, small_batches
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from kerastricks.doctor.additive import AdditiveTable, Ranges
from kerastricks.doctor.batch_rules import batch_evidence
from kerastricks.doctor.measures import measure
from kerastricks.doctor.rate_rules import STATES, rate_values
from kerastricks.doctor.training_log import TrainingLog

MEASURES = (
    "early", "quarter", "half", "end", "least", "late_slope", "val_late_slope", "peak", "spike", "start", "change",
    "rise", "band", "band_start", "rough", "val_rough", "val_accuracy_rough", "val_rise", "val_best", "gap",
    "accuracy", "half_epochs", "stuck", "burst", "val_end", "val_noise", "late_fall_with_rate", "relative_rate",
)  # fmt: skip
QUANTILES = np.linspace(0, 1, 33)[1:-1]  # between the ranges of a measure
ROUNDS = 100
SHRINK = 0.7  # of all scores: the log-loss on data sets and networks held out is least between 0.6 and 0.8


def logs(run: Run) -> tuple[TrainingLog, TrainingLog]:
    """A run's log, and what a writer of epochs alone would have of it."""
    return run.log, replace(run.log, steps=np.empty(0), step_loss=np.empty(0))


class Learner:
    """Measures of all runs.

    Args:
        runs: of known state.
        states: of each.
        knows_optimizer: whether the logs say which optimizer was used; the rate beside its usual one is a measure then.
    """

    def __init__(self, runs: Sequence[Run], states: Sequence[str], knows_optimizer: bool = True) -> None:
        self.names = MEASURES if knows_optimizer else tuple(name for name in MEASURES if name != "relative_rate")
        rows = [[rate_values(log, measure(log)) for log in logs(run)] for run in runs]
        self.values = np.array([[[one.get(name, math.nan) for name in self.names] for one in row] for row in rows])
        self.values[np.isinf(self.values)] = np.nan
        self.states = np.array([STATES.index(state) for state in states])

    def fit(self, chosen: np.ndarray) -> AdditiveTable:
        """The table of some runs (an index array)."""
        values = self.values[chosen].reshape(-1, len(self.names))
        states = np.repeat(self.states[chosen], self.values.shape[1])
        edges = [np.unique(np.nanquantile(column, QUANTILES).round(5)) for column in values.T]
        ranges = np.full(values.shape, np.nan)
        for place, cuts in enumerate(edges):
            there = np.isfinite(values[:, place])
            ranges[there, place] = np.searchsorted(cuts, values[there, place], side="right")
        model = HistGradientBoostingClassifier(
            max_depth=1,
            max_iter=ROUNDS,
            min_samples_leaf=40,
            class_weight="balanced",
            early_stopping=False,
            random_state=0,
        ).fit(ranges, states)
        # A sum of stumps is a sum over measures: each is read off with all others missing.
        intercept = model.decision_function(np.full((1, len(edges)), np.nan))[0]
        tables = {}
        for place, (name, cuts) in enumerate(zip(self.names, edges, strict=True)):
            alone = np.full((len(cuts) + 1, len(edges)), np.nan)
            alone[:, place] = np.arange(len(cuts) + 1)
            tables[name] = Ranges(cuts, SHRINK * (model.decision_function(alone) - intercept))
        return AdditiveTable(SHRINK * intercept, tables)

    def predict(self, table: AdditiveTable, chosen: np.ndarray, variant: int = 0) -> np.ndarray:
        """(runs, S) probabilities for some runs, from a variant of their logs."""
        rows = self.values[chosen, variant]
        return np.array([table.probabilities(dict(zip(self.names, row, strict=True))) for row in rows])

    def held_out(self, groups: np.ndarray, variant: int = 0) -> np.ndarray:
        """(runs, S) probabilities of every run by a table that was learned without its group."""
        found = np.empty((len(self.states), len(STATES)))
        for group in np.unique(groups):
            inside = np.flatnonzero(groups == group)
            found[inside] = self.predict(self.fit(np.flatnonzero(groups != group)), inside, variant)
        return found


def fit_batches(runs: Sequence[Run], small: np.ndarray, table: AdditiveTable) -> dict[str, dict[str, Any]]:
    """Weights of the regressions for a known and an unknown batch, as `tables.json` has them.

    Args:
        runs: of the part "batches".
        small: (runs,) bool, whether the batch is.
        table: of the rate.
    """
    rows = np.array(
        [batch_evidence(run.log, table.probabilities(rate_values(run.log, measure(run.log)))) for run in runs]
    )
    fitted = {}
    for name, columns in (("batch", slice(None)), ("batch_unknown", slice(0, -1))):
        chosen = rows[:, columns]
        scaled = StandardScaler().fit(chosen)
        model = LogisticRegression(C=0.1, class_weight="balanced").fit(scaled.transform(chosen), small)
        weights = model.coef_[0] / scaled.scale_
        fitted[name] = {
            "intercept": round(float(model.intercept_[0] - weights @ scaled.mean_), 4),
            "weights": weights.round(4).tolist(),
        }
    return fitted


def to_json(table: AdditiveTable) -> dict[str, Any]:
    """A table as `tables.json` has it."""
    return {
        "intercept": table.intercept.round(4).tolist(),
        "measures": {
            name: {"edges": one.edges.tolist(), "scores": one.scores.round(3).tolist()}
            for name, one in table.measures.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    runs = load(arguments.corpus)
    states, small = rate_states(runs), small_batches(runs)
    chosen = sorted(states)
    known, unknown = (
        Learner([runs[index] for index in chosen], [states[index] for index in chosen], knows).fit(
            np.arange(len(chosen))
        )
        for knows in (True, False)
    )
    of_batches = [runs[index] for index in sorted(small)]
    record = {
        "version": hashlib.sha256(arguments.corpus.read_bytes()).hexdigest()[:12],
        "factors": advice_steps(runs, states),
        **fit_batches(of_batches, np.array([small[index] for index in sorted(small)]), known),
        "rate_of_optimizer": to_json(known),
        "rate": to_json(unknown),
    }
    arguments.target.write_text(json.dumps(record, separators=(",", ":")).replace('},"', '},\n"') + "\n", "utf-8")
    print(f"{len(chosen)} and {len(of_batches)} runs, factors {record['factors']}")


if __name__ == "__main__":
    main()

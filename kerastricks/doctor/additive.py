"""Additive scores of measures, learned from trainings of known state, and how their evidence is said.

Each measure is cut into ranges, each range adds to the score of each state, and the softmax of the sums is the
probability: a generalised additive model of piecewise constants, in `tables.json`, which benchmarks/doctor/learn.py
writes. The measures that add most are the evidence.
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

# How the evidence says a measure; {} is its value, or that of the function.
_SHOWN = {
    "late_slope": lambda value: 1 - math.exp(-value),
    "val_late_slope": lambda value: 1 - math.exp(-value),
    "spike": math.exp,
    "relative_rate": lambda value: 10**value,
}
SAID = {
    "early": "{:.0%} of the fall of the training loss was made in the first tenth",
    "quarter": "{:.0%} of the fall of the training loss was made in the first quarter",
    "half": "{:.0%} of the fall of the training loss was made in the first half",
    "end": "the training loss ends at {:.2g} of that of guessing",
    "least": "the training loss was never below {:.2g} of that of guessing",
    "late_slope": "the training loss fell by {:.0%} over the last third",
    "val_late_slope": "the validation loss fell by {:.0%} over the last third",
    "peak": "the loss rose to {:.3g} times that of guessing",
    "spike": "the highest loss is {:.3g} times the first",
    "change": "the loss fell by {:.2g} standard deviations of its noise from the first third to the last",
    "rise": "the training loss ends {:.1%} above its minimum",
    "band": "the band of the batch loss is {:.2g} of the loss at the end",
    "band_start": "the band of the batch loss is {:.2g} of the loss at the beginning",
    "rough": "the training loss rose in {:.0%} of the epochs",
    "val_rough": "the validation loss jumps by {:.1%} from epoch to epoch",
    "val_accuracy_rough": "the validation accuracy jumps by {:.1%} of its error from epoch to epoch",
    "val_rise": "the validation loss ends {:.1%} above its minimum",
    "val_best": "the validation loss is lowest after {:.0%} of the training",
    "late_fall_with_rate": "{:.0%} of the fall was made in the last fifth, where the rate falls",
    "relative_rate": "the rate is {:.2g} times the usual one of the optimizer",
}


@dataclass(frozen=True, eq=False)
class Ranges:
    """A measure's ranges and what each adds.

    Args:
        edges: (R - 1,) float64, ascending; a range holds its lower edge.
        scores: (R, S) float64, for each state.
    """

    edges: np.ndarray
    scores: np.ndarray

    def score(self, value: float) -> np.ndarray:
        """(S,) what the value adds; nothing where it is missing."""
        if math.isnan(value):
            return np.zeros(self.scores.shape[1])
        return self.scores[int(np.searchsorted(self.edges, value, side="right"))]


@dataclass(frozen=True, eq=False)
class AdditiveTable:
    """The additive model.

    Args:
        intercept: (S,) float64.
        measures: by name.
    """

    intercept: np.ndarray
    measures: Mapping[str, Ranges]

    def probabilities(self, values: Mapping[str, float]) -> np.ndarray:
        """(S,) of each state, for measures by name; those that are missing count nothing."""
        sums = self.intercept + sum(self.contributions(values).values(), np.zeros(len(self.intercept)))
        powers = np.exp(sums - sums.max())
        return powers / powers.sum()

    def contributions(self, values: Mapping[str, float]) -> dict[str, np.ndarray]:
        """(S,) score of each state that each measure adds."""
        return {name: one.score(values.get(name, math.nan)) for name, one in self.measures.items()}

    def reasons(self, values: Mapping[str, float], state: int) -> list[str]:
        """The three measures that speak most for a state, against the mean of the others."""
        for_it = {
            name: float(one[state] - np.delete(one, state).mean())
            for name, one in self.contributions(values).items()
            if name in SAID and not math.isnan(values[name])
        }
        return sorted(for_it, key=lambda name: -for_it[name])[:3]


def say(name: str, value: float) -> str:
    """A measure as evidence."""
    return SAID[name].format(_SHOWN.get(name, float)(value))


@functools.cache
def read_table(name: str) -> AdditiveTable:
    """A table of the package.

    Args:
        name: "rate_of_optimizer" for the rate of a log whose optimizer is known, "rate" for that of others.
    """
    record = tables_record()[name]
    measures = {
        name: Ranges(np.array(one["edges"], np.float64), np.array(one["scores"], np.float64))
        for name, one in record["measures"].items()
    }
    return AdditiveTable(np.array(record["intercept"]), measures)


@functools.cache
def tables_record() -> dict[str, Any]:
    """tables.json."""
    return json.loads(files("kerastricks.doctor").joinpath("tables.json").read_text("utf-8"))

"""The state of the learning rate, by an additive score of measures that was learned from trainings of known state.

Each measure is cut into ranges, each range adds to the score of each state, and the softmax of the sums is the
probability: a generalised additive model of piecewise constants, in `rate_table.json`, which
benchmarks/doctor/learn.py writes. The measures that add most are the evidence.
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from kerastricks.doctor.failure_rules import divided, highest_rate, multiplied
from kerastricks.doctor.finding import Finding
from kerastricks.doctor.measures import Measures
from kerastricks.doctor.training_log import TrainingLog

STATES = ("too_low", "good", "too_high", "much_too_high")
# Highest rates with which an optimizer is used as a rule: the middle of what its papers and defaults have.
USUAL_RATES = {"sgd": 0.03, "rmsprop": 0.001, "adagrad": 0.01, "lion": 0.0003, "muon": 0.02}
_USUAL_ADAPTIVE = 0.001
# How the evidence says a measure; {} is its value, or that of the function.
_SHOWN = {
    "late_slope": lambda value: 1 - math.exp(-value),
    "val_late_slope": lambda value: 1 - math.exp(-value),
    "spike": math.exp,
    "relative_rate": lambda value: 10**value,
}
_SAID = {
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
class RateTable:
    """The additive model.

    Args:
        intercept: (S,) float64.
        measures: by name.
    """

    intercept: np.ndarray
    measures: Mapping[str, Ranges]

    def probabilities(self, values: Mapping[str, float]) -> np.ndarray:
        """(S,) of each state, for measures by name; those that are missing count nothing."""
        sums = self.intercept + sum(self.contributions(values).values(), np.zeros(len(STATES)))
        powers = np.exp(sums - sums.max())
        return powers / powers.sum()

    def contributions(self, values: Mapping[str, float]) -> dict[str, np.ndarray]:
        """(S,) score of each state that each measure adds."""
        return {name: one.score(values.get(name, math.nan)) for name, one in self.measures.items()}


def rate_values(log: TrainingLog, found: Measures) -> dict[str, float]:
    """The measures of a log by name, with that of the rate beside the optimizer's usual one."""
    values = {name: math.nan if value is None else value for name, value in found.to_json().items()}
    rate = highest_rate(log)
    usual = USUAL_RATES.get(log.optimizer, _USUAL_ADAPTIVE) if log.optimizer else None
    values["relative_rate"] = math.log10(rate / usual) if rate and usual else math.nan
    return values


def rate_finding(log: TrainingLog, found: Measures) -> Finding | None:
    """The finding about the learning rate; None where no state is likely."""
    values = rate_values(log, found)
    table = rate_table(knows_optimizer=not math.isnan(values["relative_rate"]))
    probabilities = table.probabilities(values)
    place = int(probabilities.argmax())
    state = STATES[place]
    if probabilities[place] < 0.5:
        return None
    factor = _factor(state, values["relative_rate"])
    advice, change = (
        ("keep it", {})
        if state == "good"
        else (multiplied if factor > 1 else divided)(log, factor if factor > 1 else 1 / factor)
    )
    reasons = _reasons(table, values, place)
    span = None
    if len(log.epochs) > 1:
        span = (0.0, float(log.epochs[-1]))
    return Finding(
        code=f"lr_{state}",
        evidence="; ".join(_say(name, values[name]) for name in reasons),
        advice=advice,
        change=change,
        span=span,
        confidence=float(probabilities[place]),
        figures={name: values[name] for name in reasons},
    )


def _factor(state: str, relative_rate: float) -> float:
    """Factor of the rate that helped most in the corpus, or the way to the usual rate if longer."""
    factor = float(_record()["factors"][state])
    usual = 10**-relative_rate
    if (state == "too_low" and usual > factor) or (state == "much_too_high" and usual < factor):
        return float(f"{usual:.1g}") if usual > 1 else 1 / float(f"{1 / usual:.1g}")
    return factor


def _say(name: str, value: float) -> str:
    return _SAID[name].format(_SHOWN.get(name, float)(value))


def _reasons(table: RateTable, values: Mapping[str, float], place: int) -> list[str]:
    """The three measures that speak most for a state, against the mean of the others."""
    for_it = {
        name: float(one[place] - np.delete(one, place).mean())
        for name, one in table.contributions(values).items()
        if name in _SAID and not math.isnan(values[name])
    }
    return sorted(for_it, key=lambda name: -for_it[name])[:3]


@functools.cache
def rate_table(knows_optimizer: bool) -> RateTable:
    """The table of the package for logs whose optimizer is known, or for others."""
    record = _record()["known" if knows_optimizer else "unknown"]
    measures = {
        name: Ranges(np.array(one["edges"], np.float64), np.array(one["scores"], np.float64))
        for name, one in record["measures"].items()
    }
    return RateTable(np.array(record["intercept"]), measures)


@functools.cache
def _record() -> dict[str, Any]:
    return json.loads(files("kerastricks.doctor").joinpath("rate_table.json").read_text("utf-8"))

"""The state of the learning rate, by a table of measures that was learned from trainings of known state."""

import math
from collections.abc import Mapping

from kerastricks.doctor.additive import AdditiveTable, read_table, say, tables_record
from kerastricks.doctor.failure_rules import divided, highest_rate, multiplied
from kerastricks.doctor.finding import Finding
from kerastricks.doctor.measures import Measures
from kerastricks.doctor.training_log import TrainingLog

STATES = ("too_low", "good", "too_high", "much_too_high")
# Highest rates with which an optimizer is used as a rule: the middle of what its papers and defaults have.
USUAL_RATES = {"sgd": 0.03, "rmsprop": 0.001, "adagrad": 0.01, "lion": 0.0003, "muon": 0.02}
_USUAL_ADAPTIVE = 0.001


def rate_values(log: TrainingLog, found: Measures) -> dict[str, float]:
    """The measures of a log by name, with that of the rate beside the optimizer's usual one."""
    values = {name: math.nan if value is None else value for name, value in found.to_json().items()}
    rate = highest_rate(log)
    usual = USUAL_RATES.get(log.optimizer, _USUAL_ADAPTIVE) if log.optimizer else None
    values["relative_rate"] = math.log10(rate / usual) if rate and usual else math.nan
    return values


def table_for(values: Mapping[str, float]) -> AdditiveTable:
    """The table of the package for what `rate_values` knows."""
    return read_table("rate" if math.isnan(values["relative_rate"]) else "rate_of_optimizer")


def rate_finding(log: TrainingLog, found: Measures) -> Finding | None:
    """The finding about the learning rate; None where no state is likely."""
    values = rate_values(log, found)
    table = table_for(values)
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
    reasons = table.reasons(values, place)
    span = None
    if len(log.epochs) > 1:
        span = (0.0, float(log.epochs[-1]))
    return Finding(
        code=f"lr_{state}",
        evidence="; ".join(say(name, values[name]) for name in reasons),
        advice=advice,
        change=change,
        span=span,
        confidence=float(probabilities[place]),
        figures={name: values[name] for name in reasons},
    )


def _factor(state: str, relative_rate: float) -> float:
    """Factor of the rate that helped most in the corpus, or the way to the usual rate if longer."""
    factor = float(tables_record()["factors"][state])
    usual = 10**-relative_rate
    if (state == "too_low" and usual > factor) or (state == "much_too_high" and usual < factor):
        return float(f"{usual:.1g}") if usual > 1 else 1 / float(f"{1 / usual:.1g}")
    return factor

"""Whether the batch is too small: by what the log says of the rate, learned from trainings of known answer."""

import math

import numpy as np

from kerastricks.doctor.additive import say, tables_record
from kerastricks.doctor.finding import Finding
from kerastricks.doctor.measures import Measures
from kerastricks.doctor.rate_rules import STATES, rate_values, table_for
from kerastricks.doctor.training_log import TrainingLog

_LARGER = 4  # times the batch: the step between the batches of the corpus
_LEAST = 1e-3  # of a probability


def batch_evidence(log: TrainingLog, probabilities: np.ndarray) -> np.ndarray:
    """Evidence that the regression weighs.

    Args:
        log: of the training.
        probabilities: (4,) of the states of its rate.

    Returns:
        (3,) float64: the log-odds that the rate is too high, those that it is much too high, and the logarithm
        (base 2) of the batch, NaN where it is not known. A rate is too high for the batch and not for any, if the
        first is high and the second is not.
    """
    much = float(probabilities[STATES.index("much_too_high")])
    high = float(probabilities[STATES.index("too_high")]) + much
    return np.array([_log_odds(high), _log_odds(much), math.log2(log.batch_size) if log.batch_size else math.nan])


def _log_odds(probability: float) -> float:
    return math.log((probability + _LEAST) / (1 - probability + _LEAST))


def probability_too_small(evidence: np.ndarray) -> float:
    """Probability that a larger batch at the same rate is better, by `batch_evidence`."""
    known = not math.isnan(evidence[-1])
    fitted = tables_record()["batch" if known else "batch_unknown"]
    score = fitted["intercept"] + np.dot(fitted["weights"], evidence if known else evidence[:-1])
    return float(1 / (1 + np.exp(-score)))


def batch_finding(log: TrainingLog, found: Measures) -> Finding | None:
    """The finding that a larger batch would help at the same rate; None where that is unlikely.

    The noise of a step is that of the rate over the batch (Smith, Le, arXiv 1710.06451), so a lower rate helps too; a
    rate that is too high for any batch is not the batch's fault.
    """
    if log.batch_size is None and math.isnan(found.band):
        return None
    values = rate_values(log, found)
    probabilities = table_for(values).probabilities(values)
    probability = probability_too_small(batch_evidence(log, probabilities))
    if probability < 0.5:
        return None
    size, high = log.batch_size, float(probabilities[STATES.index("too_high") :].sum())
    evidence = [f"the rate is too high for a batch of {size or 'this size'} ({high:.0%} sure), not for any batch"]
    figures = {"rate_too_high": high}
    if not math.isnan(found.band):
        evidence.append(say("band", found.band))
        figures["band"] = found.band
    grown = _LARGER * size if size else f"{_LARGER} times its size"
    return Finding(
        code="batch_too_small",
        evidence="; ".join(evidence),
        advice=f"raise the batch to {grown} at the same learning rate, or divide the rate by {_LARGER}: "
        "either makes the steps less noisy",
        change={"batch_size": float(_LARGER * size)} if size else {"batch_size_factor": float(_LARGER)},
        confidence=probability,
        figures=figures,
    )

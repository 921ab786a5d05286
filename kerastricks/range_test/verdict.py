"""The verdict on the curves of a range test: a learning rate with its interval and confidence, or why there is none."""

import math

import numpy as np

from kerastricks.errors import UsageError
from kerastricks.range_test.result import RangeTestResult
from kerastricks.range_test.rules import (
    between_edges,
    check_curve,
    edges,
    fall,
    fill_stopped,
    minimum_over_ten,
    smooth,
    steepest,
    valley,
)

WIDTH = 1 / 40  # of the smoothing, as a fraction of the steps
_AT_ONCE = 0.15  # of the steps
_SURE = 5.0  # standard errors
_LEAST_FALL = 0.02  # of the first loss
_DRAWS = 200
_NEAR = 1.5  # a factor between two rates that does not matter
_TOO_NOISY = 0.35  # confidence
_ONE_SWEEP = 0.5  # largest confidence: nothing is known about a second sweep


def judge_sweeps(rates: np.ndarray, losses: np.ndarray) -> RangeTestResult:
    """Smooths the sweeps, takes their median, and finds the rate, its confidence, or the reason why none can be told.

    Args:
        rates: (steps,), rising.
        losses: (sweeps, steps), NaN from where a sweep was stopped, infinite where it was not finite.

    Returns:
        A `RangeTestResult`.

    Raises:
        UsageError: a ValueError, for rates and losses that do not belong together.

    Example:
        >>> import numpy
        >>> from kerastricks.range_test import judge_sweeps
        >>> judge_sweeps(numpy.geomspace(1e-4, 10, 50), numpy.full((3, 50), 2.3)).reason.split(":")[0]
        'flat'
    """
    losses = np.atleast_2d(np.asarray(losses, "float64"))
    if losses.ndim != 2 or not len(losses):
        raise UsageError(f"losses: must be of shape (sweeps, steps). Received: shape {losses.shape}")
    filled = fill_stopped(losses)
    rates, _ = check_curve(rates, filled[0])
    smoothed = smooth(filled, WIDTH * len(rates))
    median = np.median(smoothed, axis=0)
    reason = _why_none(rates, losses, filled, smoothed, median)
    others = {rule.__name__: rule(rates, median) for rule in (steepest, valley, minimum_over_ten)}
    suggestion = interval = spread = None
    confidence = 0.0
    if not reason:
        suggestion, interval = between_edges(rates, median), edges(rates, median)
        assert suggestion is not None
        assert interval is not None
        confidence = _confidence(rates, smoothed, suggestion)
        single = [rate for rate in (between_edges(rates, curve) for curve in smoothed) if rate is not None]
        spread = max(single) / min(single) if len(single) > 1 else None
        if confidence < _TOO_NOISY:
            reason = (
                f"noisy: repeated sweeps disagree, only {confidence:.0%} of their draws are within a factor of {_NEAR} "
                f"of {suggestion:.2g}: take more sweeps, more steps or larger batches"
            )
            suggestion, interval, spread, confidence = None, None, None, 0.0
        elif interval[1] >= rates[-1]:
            confidence /= 2
            reason = f"the loss does not rise up to a rate of {rates[-1]:.2g}, where the test ends: raise its bounds"
    return RangeTestResult(
        rates=rates,
        losses=losses,
        median=median,
        band=np.stack([smoothed.min(axis=0), smoothed.max(axis=0)]),
        interval=interval,
        suggestion=suggestion,
        spread=spread,
        confidence=confidence,
        reason=reason,
        others=others,
    )


def _why_none(
    rates: np.ndarray, losses: np.ndarray, filled: np.ndarray, smoothed: np.ndarray, median: np.ndarray
) -> str:
    """The reason why no rate can be told from the median, "" where one can."""
    ran = np.isfinite(losses).sum(axis=1)
    last = int(np.median(ran))
    if last < _AT_ONCE * len(rates):
        when = "in the first step" if last == 0 else f"after {last} {'step' if last == 1 else 'steps'}"
        where = f"the loss blew up {when}, at a rate of {rates[last]:.2g}"
        return f"diverged at once: {where}: lower the bounds, or repair the model or its data"
    first, bottom = fall(median)
    depth = first - float(median[bottom])
    noise = _SURE * _standard_error(losses, filled, smoothed)
    least = max(noise, _LEAST_FALL * abs(first))
    if depth >= least:
        return ""
    risen = np.flatnonzero(median - first >= least)
    if risen.size and risen[0] < len(rates) / 4:
        return (
            f"diverged at once: the loss rises from a rate of {rates[risen[0]]:.2g} on and falls at none: lower the "
            "bounds, or repair the model or its data"
        )
    singly = [
        start - curve[lowest] >= least * math.sqrt(len(losses)) for curve in smoothed for start, lowest in [fall(curve)]
    ]
    if np.mean(singly) > 0.5:
        return "noisy: the sweeps fall, each at other rates: take more sweeps, more steps or larger batches"
    if noise > _LEAST_FALL * abs(first) and depth >= _LEAST_FALL * abs(first):
        return (
            f"noisy: the loss falls by {depth:.2g}, of which noise may make {noise:.2g}: take "
            "more sweeps, more steps or larger batches"
        )
    until = f"and rises from {rates[risen[0]]:.2g} on" if risen.size else f"up to {rates[-1]:.2g}"
    return (
        f"flat: the loss falls at no rate {until}: raise the bounds, or see whether the model learns at all "
        "(kerastricks check init)"
    )


def _standard_error(losses: np.ndarray, filled: np.ndarray, smoothed: np.ndarray) -> float:
    """Standard error of a point of the median curve, from how far losses are from the smoothed ones."""
    residuals = np.abs(filled - smoothed)[np.isfinite(losses)]
    scatter = 1.4826 * float(np.median(residuals)) if residuals.size else 0.0
    averaged = max(2 * math.sqrt(math.pi) * WIDTH * losses.shape[1], 1.0)  # losses that a Gaussian average is worth
    of_median = 1.2533 if len(losses) > 2 else 1.0
    return of_median * scatter / math.sqrt(averaged * len(losses))


def _confidence(rates: np.ndarray, smoothed: np.ndarray, suggestion: float) -> float:
    """The share of draws of as many sweeps that give about the same rate."""
    generator = np.random.default_rng(0)
    near = 0
    for _ in range(_DRAWS):
        drawn = smoothed[generator.integers(len(smoothed), size=len(smoothed))]
        rate = between_edges(rates, np.median(drawn, axis=0))
        near += rate is not None and abs(math.log(rate / suggestion)) <= math.log(_NEAR)
    return near / _DRAWS if len(smoothed) > 1 else _ONE_SWEEP

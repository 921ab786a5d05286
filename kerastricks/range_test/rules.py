"""Our rule: a rate between where the loss has come down and where it rises again."""

import numpy as np

from kerastricks.range_test.curve import check_curve

FALLEN = 0.9  # of the whole fall
RISEN = 0.25
_WEIGHT = 0.6  # of the upper edge
_REACH = 6.0  # times the lower edge, at most
_BEGINNING = 0.1  # of the steps: too low a rate to learn, their median is the loss it began with


def between_edges(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The geometric mean of the two edges of the bottom of the curve, the upper one weighing three to two.

    The lower edge is where the loss has come down by 90 % of its whole fall, the upper edge is where, right of its
    lowest point, it is up again by 25 % of it. Both lie on steep parts of the curve, where noise moves them little;
    the bottom between them is flat, and where it is lowest is chance. The answer is at most six times the lower edge:
    what learns by normalised gradients may bear far higher rates for some steps without its loss showing it, and
    train badly with them.

    Args:
        rates: (steps,), rising.
        losses: (steps,), finite: smoothed, and high where the test was stopped.

    Returns:
        A rate, None for a curve that does not fall.

    Raises:
        UsageError: a ValueError, for a curve that is none.

    Example:
        >>> import numpy
        >>> from kerastricks.range_test import between_edges
        >>> rates = numpy.geomspace(1e-4, 10, 6)
        >>> round(between_edges(rates, numpy.array([2.0, 2.0, 1.5, 1.0, 1.0, 2.0])), 2)
        0.38

    Reference:
        None: chosen by measurement, see docs/learning_rate.md.
    """
    rates, losses = check_curve(rates, losses)
    found = edges(rates, losses)
    if found is None:
        return None
    low, high = found
    return float(min(low ** (1 - _WEIGHT) * high**_WEIGHT, _REACH * low))


def edges(rates: np.ndarray, losses: np.ndarray) -> tuple[float, float] | None:
    """The lower and the upper edge of the bottom; the last rate where it does not rise, None if it does not fall."""
    first, bottom = fall(losses)
    depth = first - float(losses[bottom])
    if depth <= 0:
        return None
    down = int(np.flatnonzero(losses[: bottom + 1] <= first - FALLEN * depth)[0])
    up = bottom + np.flatnonzero(losses[bottom:] >= losses[bottom] + RISEN * depth)
    low = _crossing(rates, losses, down, first - FALLEN * depth)
    high = _crossing(rates, losses, int(up[0]), losses[bottom] + RISEN * depth) if up.size else float(rates[-1])
    return low, high


def fall(losses: np.ndarray) -> tuple[float, int]:
    """The loss of the beginning, and the place of the lowest one behind it."""
    beginning = max(round(_BEGINNING * len(losses)), 1)
    return float(np.median(losses[:beginning])), beginning + int(np.argmin(losses[beginning:]))


def _crossing(rates: np.ndarray, losses: np.ndarray, place: int, level: float) -> float:
    """The rate at which the line from the step before to `place` crosses a level, on the logarithmic scale."""
    if place == 0 or losses[place - 1] == losses[place]:
        return float(rates[place])
    share = (level - losses[place - 1]) / (losses[place] - losses[place - 1])
    return float(rates[place - 1] * (rates[place] / rates[place - 1]) ** np.clip(share, 0.0, 1.0))

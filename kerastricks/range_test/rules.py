"""Rules that read a learning rate off a curve of losses: ours and those of other libraries; smoothing of curves."""

import numpy as np

from kerastricks.errors import UsageError

FALLEN = 0.9  # of the whole fall
RISEN = 0.25  # of the whole fall
_WEIGHT = 0.6  # of the upper edge
_REACH = 6.0  # times the lower edge, at most
_BEGINNING = 0.1  # of the steps: their rates are too low to learn, so their median is the initial loss


def check_curve(
    rates: np.ndarray, losses: np.ndarray, choice: tuple[str, str, tuple[str, ...]] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Checks a curve and converts it to float64.

    Args:
        rates: (steps,), above 0 and rising.
        losses: (steps,), finite.
        choice: an argument's name, its value and those it may have.

    Raises:
        UsageError: for anything else.
    """
    rates, losses = np.asarray(rates, "float64"), np.asarray(losses, "float64")
    if rates.ndim != 1 or rates.shape != losses.shape or len(rates) < 2:
        raise UsageError(
            f"rates and losses: must be two or more of each in one row. Received: shapes {rates.shape}, {losses.shape}"
        )
    if not (rates[0] > 0 and np.all(np.diff(rates) > 0)):
        raise UsageError("rates: must be above 0 and rise from each to the next")
    if not np.all(np.isfinite(losses)):
        raise UsageError(
            "losses: must be finite: cut the curve off where it diverges, or take kerastricks.range_test.fill_stopped"
        )
    if choice is not None and choice[1] not in choice[2]:
        raise UsageError(f"{choice[0]}: must be one of {', '.join(choice[2])}. Received: {choice[0]}={choice[1]!r}")
    return rates, losses


def between_edges(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The geometric mean of the two edges of the bottom of the curve, the upper one weighing three to two.

    The lower edge is where the loss has come down by 90 % of its whole fall, the upper edge is where, right of its
    lowest point, it is up again by 25 % of it. Both lie on steep parts of the curve, where noise moves them little;
    the bottom between them is flat, and where it is lowest is chance. The result is at most six times the lower edge:
    an optimizer that normalises gradients may bear far higher rates for some steps without its loss showing it, and
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
    """The loss of the beginning, and the index of the lowest one after it."""
    beginning = max(round(_BEGINNING * len(losses)), 1)
    return float(np.median(losses[:beginning])), beginning + int(np.argmin(losses[beginning:]))


def _crossing(rates: np.ndarray, losses: np.ndarray, index: int, level: float) -> float:
    """The rate at which the line from the step before to `index` crosses a level, on the logarithmic scale."""
    if index == 0 or losses[index - 1] == losses[index]:
        return float(rates[index])
    share = (level - losses[index - 1]) / (losses[index] - losses[index - 1])
    return float(rates[index - 1] * (rates[index] / rates[index - 1]) ** np.clip(share, 0.0, 1.0))


def steepest(rates: np.ndarray, losses: np.ndarray, difference: str = "forward") -> float:
    """The rate at which the loss falls fastest, per decade of the rate.

    It is early: where the loss falls fastest, training can do with a higher rate. On a curve that is not smooth it
    follows the noise.

    Args:
        rates: (steps,), rising.
        losses: (steps,), finite; smoothed, as both libraries do.
        difference: "forward" divides the differences of neighbours by those of the logarithms of their rates, and takes
            the rate before the fall (fastai); "central" takes NumPy's gradient over the steps (torch-lr-finder).

    Returns:
        One of `rates`.

    Raises:
        UsageError: a ValueError, for a curve that is none, or another difference.

    Example:
        >>> import numpy
        >>> from kerastricks.range_test import steepest
        >>> steepest(numpy.array([0.01, 0.1, 1.0, 10.0]), numpy.array([2.0, 1.9, 0.9, 1.5]))
        0.1

    Reference:
        fastai 2, `callback/schedule.py`, `steep`, there on losses averaged with 0.98 and without the first tenth and
        the last five; torch-lr-finder 0.2, `LRFinder.plot`, there on losses averaged with 0.95 and without the first
        ten and the last five.
    """
    rates, losses = check_curve(rates, losses, ("difference", difference, ("forward", "central")))
    if difference == "central":
        return float(rates[np.argmin(np.gradient(losses))])
    return float(rates[np.argmin(np.diff(losses) / np.diff(np.log(rates)))])


def valley(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate half way down the longest falling subsequence of the losses.

    The subsequence may leave losses out, so single bumps do not end it. On a curve that falls from its first step on,
    as a smoothed one does, "half way" is that of the bounds as much as of the model.

    Args:
        rates: (steps,), rising.
        losses: (steps,), finite; smoothed, as fastai does.

    Returns:
        One of `rates`; the first where no loss is below an earlier one.

    Raises:
        UsageError: a ValueError, for a curve that is none.

    Example:
        >>> import numpy
        >>> from kerastricks.range_test import valley
        >>> valley(numpy.geomspace(1e-4, 10, 6), numpy.array([2.0, 1.8, 1.5, 1.0, 0.9, 3.0]))
        0.0001

    Reference:
        fastai 2, `callback/schedule.py`, `valley`, its default. As there, the fall is taken to begin as many steps
        before its end as the subsequence has losses, and the result lies a third and half a third of it after the
        beginning, each rounded down.
    """
    rates, losses = check_curve(rates, losses)
    lengths = np.ones(len(losses), int)  # of the longest falling subsequence that ends there
    for end in range(1, len(losses)):
        higher = lengths[:end][losses[:end] > losses[end]]
        if higher.size:
            lengths[end] += higher.max()
    if lengths.max() == 1:
        return float(rates[0])
    end = int(np.argmax(lengths))
    start = end - lengths[end]
    third = (end - start) / 3
    return float(rates[max(start + int(third) + int(third / 2), 0)])


def minimum_over_ten(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate at which the loss is lowest.

    It is simple and careful. The bottom of the curve is flat, so its lowest point moves with the noise, and a tenth
    is more than most models need.

    Args:
        rates: (steps,), rising.
        losses: (steps,), finite.

    Returns:
        A rate, perhaps below the first.

    Raises:
        UsageError: a ValueError, for a curve that is none.

    Example:
        >>> import numpy
        >>> from kerastricks.range_test import minimum_over_ten
        >>> minimum_over_ten(numpy.array([0.01, 0.1, 1.0, 10.0]), numpy.array([2.0, 1.9, 0.9, 1.5]))
        0.1

    Reference:
        fastai 2, `callback/schedule.py`, `minimum`.
    """
    rates, losses = check_curve(rates, losses)
    return float(rates[np.argmin(losses)] / 10)


def smooth(losses: np.ndarray, width_steps: float) -> np.ndarray:
    """Averages each loss with its neighbours, weighted by a Gaussian of their distance in steps.

    The average is centred: unlike the running average of other range tests it moves nothing to higher rates.

    Args:
        losses: (..., steps), finite.
        width_steps: standard deviation of the Gaussian; 0 leaves the losses as they are.

    Returns:
        Losses of that shape.
    """
    losses = np.asarray(losses, "float64")
    if width_steps <= 0:
        return losses.copy()
    steps = np.arange(losses.shape[-1])
    weights = np.exp(-0.5 * ((steps[:, None] - steps) / width_steps) ** 2)
    return losses @ (weights / weights.sum(axis=0))


def fill_stopped(losses: np.ndarray) -> np.ndarray:
    """Replaces losses where a sweep was stopped by a finite one that is as bad as a divergence can be.

    That is the first loss and as much above it as the best sweep came below, at least a quarter of the first loss.
    Greater losses are lowered to it, so that a single step that blew up does not reach far when it is smoothed.

    Args:
        losses: (sweeps, steps), NaN where a sweep was stopped.
    """
    known = losses[np.isfinite(losses)]
    if not known.size:
        return np.zeros_like(losses)
    beginning = losses[:, : max(losses.shape[1] // 10, 1)]
    beginning = beginning[np.isfinite(beginning)]
    first = float(np.median(beginning)) if beginning.size else float(known[0])
    ceiling = first + max(first - float(known.min()), 0.25 * abs(first))
    return np.minimum(np.where(np.isfinite(losses), losses, ceiling), ceiling)


def exponential_average(losses: np.ndarray, memory: float, unbiased: bool = True) -> np.ndarray:
    """The running average of other range tests: `memory` of the average so far, the rest of the loss.

    Args:
        losses: (steps,), finite.
        memory: fastai takes 0.98, torch-lr-finder 0.95.
        unbiased: whether it starts at 0 and is divided by `1 - memory^n`, as in fastai, or starts at the first loss, as
            in torch-lr-finder.
    """
    averaged, average = np.empty(len(losses)), 0.0 if unbiased else float(losses[0])
    for step, loss in enumerate(np.asarray(losses, "float64")):
        average = memory * average + (1 - memory) * loss
        averaged[step] = average / (1 - memory ** (step + 1)) if unbiased else average
    return averaged

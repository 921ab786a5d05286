"""The rate where the loss falls fastest."""

import numpy as np

from kerastricks.range_test.curve import check_curve


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

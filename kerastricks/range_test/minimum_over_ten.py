"""A tenth of the rate with the lowest loss."""

import numpy as np

from kerastricks.range_test.curve import check_curve


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

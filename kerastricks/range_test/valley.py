"""The rate in the middle of the longest way down."""

import numpy as np

from kerastricks.range_test.curve import check_curve


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
        fastai 2, `callback/schedule.py`, `valley`, its default. As there, the way is taken to begin as many steps
        before its end as the subsequence has losses, and the answer is a third and half a third of it behind the
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

"""Holm's correction for several tests."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p values for their number, so that all of them together err in 5 % of the cases and not each.

    The smallest is multiplied by their number, the next by one less and so on; none falls below one before it. It
    is never weaker than Bonferroni's correction and needs no independence.

    Args:
        p_values: each in [0, 1].

    Returns:
        The corrected values, in the order given, at most 1.

    Example:
        >>> from kerastricks.comparison import holm
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]

    Reference:
        Holm: A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    values = np.asarray(p_values, "float64")
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return corrected.tolist()

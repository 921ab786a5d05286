"""The temperature at which probabilities fit labels best."""

import numpy as np
from scipy import optimize, special

from kerastricks.ensemble.member_rows import member_rows
from kerastricks.ensemble.tempered import tempered

# A few images that are all classified correctly would have any classifier be as sure as it can: 0.2 is the limit.
TEMPERATURE_RANGE = (0.2, 20.0)


def fit_temperature(
    log_probabilities: np.ndarray, labels: np.ndarray, temperature_range: tuple[float, float] = TEMPERATURE_RANGE
) -> float:
    """The temperature T for which softmax(log_probabilities / T) has the least log-loss.

    Networks that were trained to the end are too sure of themselves: T above 1 makes them less so. It changes no
    prediction, only how sure it is. Needs images that the network was not trained on: on those it was, T is too low.

    Args:
        log_probabilities: (N, K) log-probabilities or logits.
        labels: (N,) integers.
        temperature_range: between which values T is looked for; an end of it is an answer.

    Returns:
        T, exact to 1e-6 of its value; 1 where all temperatures are equally good.

    Raises:
        EnsembleError: for other shapes, labels out of range, NaN or plus infinity.
        ValueError: for another range.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import fit_temperature
        >>> sure = np.log([[0.9, 0.1]] * 4)
        >>> round(fit_temperature(sure, np.array([0, 0, 0, 1])), 4)
        2.0

    Reference:
        Guo et al.: On calibration of modern neural networks, arXiv 1706.04599, section 4.2. The log-loss is convex in
        1 / T; where its derivative is zero is found by Brent's method.
    """
    low, high = temperature_range
    if not 0 < low < high < np.inf:
        raise ValueError(f"temperature_range must be (low, high) with 0 < low < high. Received: {temperature_range}")
    rows, labels = member_rows(np.asarray(log_probabilities)[None], labels)
    log_q = tempered(rows[0])
    of_label = log_q[np.arange(len(labels)), labels].mean()

    def slope(inverse: float) -> float:
        return float((special.softmax(log_q * inverse, axis=1) * log_q).sum(axis=1).mean() - of_label)

    sharpest, flattest = slope(1 / low), slope(1 / high)
    if abs(sharpest) + abs(flattest) < 1e-12:
        return 1.0
    if sharpest <= 0:
        return low
    if flattest >= 0:
        return high
    return float(1 / optimize.brentq(slope, 1 / high, 1 / low, xtol=1e-9, rtol=1e-9))

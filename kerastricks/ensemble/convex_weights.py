"""The weights of members whose mean has the least log-loss."""

import numpy as np

from kerastricks.ensemble.member_rows import member_rows
from kerastricks.ensemble.tempered import tempered

# The log-loss is then at most members times this above the minimum.
_BARRIER = 1e-10
# A weight this small moves no probability that a float32 model can show.
_NONE = 1e-6


def convex_weights(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights, at least 0 and of sum 1, of least log-loss of the weighted mean of probabilities.

    Helps where members are of unequal quality or some repeat each other. With members of one kind and few images it
    follows the noise of those images, and equal weights are as good. Members that are the same get the same weight.

    Args:
        log_probabilities: (M, N, K) of images that no member was trained on; logits will do.
        labels: (N,) integers.

    Returns:
        (M,) float64. Many are often exactly 0: those members can be left out.

    Raises:
        EnsembleError: for other shapes, labels out of range, NaN or plus infinity.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import convex_weights
        >>> good, poor = [[0.8, 0.2], [0.3, 0.7]], [[0.5, 0.5], [0.5, 0.5]]
        >>> convex_weights(np.log([good, poor]), np.array([0, 1])).round(3).tolist()
        [1.0, 0.0]

    Reference:
        Linear opinion pool, weights by maximum likelihood: a mixture of fixed components, whose loss is convex. The
        conditions of the minimum: the mean over the images of p_m(label) / p(label) is 1 for members with a weight and
        at most 1 for the others. Minimised by Newton's method with a logarithmic barrier (Boyd, Vandenberghe: Convex
        optimization, 11.3): the sum of weights is added to the loss, whose minimum then has a sum of 1 by itself.
    """
    rows, labels = member_rows(log_probabilities, labels)
    log_q = tempered(rows)[:, np.arange(len(labels)), labels].T
    # A factor per image adds a number to the loss and nothing else.
    chances = np.exp(log_q - log_q.max(axis=1, keepdims=True))
    count, members = chances.shape
    weights = np.full(members, 1 / members)
    barrier = 0.1

    def loss(point: np.ndarray) -> float:
        return float(point.sum() - np.log(chances @ point).mean() - barrier * np.log(point).sum())

    while True:
        for _ in range(60):
            ratios = chances / (chances @ weights)[:, None]
            gradient = 1 - ratios.mean(axis=0) - barrier / weights
            # In steps relative to the weights the system stays well scaled however small some of them become.
            scaled = ratios * weights
            hessian = scaled.T @ scaled / count + barrier * np.eye(members)
            step = weights * np.linalg.solve(hessian, -gradient * weights)
            decrease = -float(gradient @ step)
            if decrease < 1e-3 * barrier:
                break
            shrinks = step < 0
            size = min(1.0, 0.99 * float((-weights[shrinks] / step[shrinks]).min(initial=np.inf)))
            before = loss(weights)
            while size > 1e-10 and loss(weights + size * step) > before - 1e-4 * size * decrease:
                size /= 2
            if size <= 1e-10:  # the loss is flat to the last digit
                break
            weights = weights + size * step
        if barrier <= _BARRIER:
            break
        barrier = max(barrier / 10, _BARRIER)
    weights[weights < _NONE] = 0.0
    return weights / weights.sum()

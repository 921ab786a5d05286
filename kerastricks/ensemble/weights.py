"""Weights of members fitted to labels: greedy ensemble selection, and the convex optimum of the log-loss."""

import math

import numpy as np

from kerastricks.ensemble.combination import tempered
from kerastricks.metrics.calibration import member_rows

METRICS = ("log_loss", "accuracy")
# Up to here the search without bags had the lower log-loss on test, or the same: docs/ensemble_figures.md.
_MEMBERS_WITHOUT_BAGS = 200
_BAGS, _FRACTION = 20, 0.5
# The log-loss at the last barrier is at most members times this above the minimum.
_BARRIER = 1e-10
# A weight this small moves no probability that a float32 model can show.
_NONE = 1e-6


def greedy_selection(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    rounds: int = 25,
    bags: int | None = None,
    bag_fraction: float | None = None,
    sorted_start: int | None = None,
    metric: str = "log_loss",
    seed: int = 0,
) -> np.ndarray:
    """Select members greedily, with replacement, for the best mean of probabilities.

    The search starts with the best members together and then takes, round by round, whichever member leaves the mean
    best; the best mean on the way counts. Weights are the share of times a member was taken. With bags it is done for
    random parts of the members, and the weights are averaged. Helps with many members of unequal quality, such as the
    trials of a search, and with measures that have no gradient. With five members it is a rough form of
    `convex_weights`.

    Args:
        log_probabilities: (M, N, K) of images that no member was trained on; logits will do.
        labels: (N,) integers.
        rounds: members added at most, beyond those a bag starts with.
        bags: how many random parts of the members are searched; None for no bags with up to 200 members and the paper's
            20 of half of the members beyond, or where `bag_fraction` is given.
        bag_fraction: share of the members in a bag, of which there are at least two; None for 1 without bags, else 0.5.
        sorted_start: how many of a bag's best members it starts with; None for the number that does best, 0 for none.
        metric: "log_loss" or "accuracy", the latter with ties broken by log-loss.
        seed: of the bags.

    Returns:
        (M,) float64, of sum 1.

    Raises:
        EnsembleError: for other shapes, labels out of range, NaN or plus infinity.
        ValueError: for an illegal option.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import greedy_selection
        >>> good, poor = [[0.8, 0.2], [0.3, 0.7]], [[0.5, 0.5], [0.5, 0.5]]
        >>> greedy_selection(np.log([good, poor]), np.array([0, 1])).tolist()
        [1.0, 0.0]

    Reference:
        Caruana et al.: Ensemble selection from libraries of models, ICML 2004, sections 2.1 to 2.3: replacement, sorted
        initialization, 20 bags of half of the models. Deviations: no bags with up to 200 members, where they lost in
        every measurement but one (few images and many members of synthetic data); a bag has at least two members, and
        all bags are the same one where it has all.
    """
    if bags is None and bag_fraction is None and len(log_probabilities) <= _MEMBERS_WITHOUT_BAGS:
        bags, bag_fraction = 1, 1.0
    bags = _BAGS if bags is None else bags
    bag_fraction = _FRACTION if bag_fraction is None else bag_fraction
    _check(rounds, bags, bag_fraction, sorted_start, metric)
    rows, labels = member_rows(log_probabilities, labels)
    probabilities = np.exp(tempered(rows))
    members = len(probabilities)
    size = min(max(math.ceil(bag_fraction * members), 2), members)
    generator = np.random.default_rng(seed)
    counts = np.zeros(members)
    for _ in range(bags if size < members else 1):
        bag = np.sort(generator.permutation(members)[:size])
        counts[bag] += _search(probabilities[bag], labels, rounds, sorted_start, metric)
    return counts / counts.sum()


def _search(
    probabilities: np.ndarray, labels: np.ndarray, rounds: int, sorted_start: int | None, metric: str
) -> np.ndarray:
    """Share of picks of each member of a bag; log-loss needs only the labels' probabilities."""
    if metric == "log_loss":
        probabilities = probabilities[:, np.arange(len(labels)), labels][:, :, None]

    def lossy(sums: np.ndarray, taken: int) -> np.ndarray:
        """(C,) keys to be minimised of (C, N, K or 1) sums of `taken` members."""
        if metric == "log_loss":
            return -np.log(sums[:, :, 0] / taken).mean(axis=1)
        log_loss = -np.log(sums[:, np.arange(len(labels)), labels] / taken).mean(axis=1)
        errors = (sums.argmax(axis=2) != labels).sum(axis=1)
        return errors + log_loss / (1 + log_loss)  # below 1, so that it breaks ties and no more

    members = len(probabilities)
    order = np.argsort(lossy(probabilities, 1), kind="stable")
    counts = np.zeros(members)
    if sorted_start is None:
        nested = np.cumsum(probabilities[order], axis=0)
        keys = [float(lossy(nested[number : number + 1], number + 1)[0]) for number in range(members)]
        start = int(np.argmin(keys)) + 1
    else:
        start = min(sorted_start, members)
    counts[order[:start]] = 1
    sums = probabilities[order[:start]].sum(axis=0, keepdims=True)
    best = (float(lossy(sums, start)[0]) if start else math.inf, counts.copy())
    for taken in range(start + 1, start + rounds + 1):
        keys_of_next = lossy(sums + probabilities, taken)
        added = int(keys_of_next.argmin())
        counts[added] += 1
        sums = sums + probabilities[added]
        if keys_of_next[added] < best[0]:
            best = (float(keys_of_next[added]), counts.copy())
    return best[1] / best[1].sum()


def _check(rounds: int, bags: int, bag_fraction: float, sorted_start: int | None, metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}. Received: metric={metric!r}")
    if rounds < 0 or bags < 1 or (sorted_start is not None and sorted_start < 0):
        raise ValueError(
            f"rounds and sorted_start must be at least 0, bags at least 1. Received: rounds={rounds}, "
            f"sorted_start={sorted_start}, bags={bags}"
        )
    if not 0 < bag_fraction <= 1:
        raise ValueError(f"bag_fraction must be above 0 and at most 1. Received: bag_fraction={bag_fraction}")
    if rounds == 0 and sorted_start == 0:
        raise ValueError("rounds must be at least 1 with sorted_start=0. Received: rounds=0: nothing would be taken")


def convex_weights(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fit the weights, at least 0 and of sum 1, that minimise the log-loss of the weighted mean of probabilities.

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
    probabilities = np.exp(log_q - log_q.max(axis=1, keepdims=True))
    count, members = probabilities.shape
    weights = np.full(members, 1 / members)
    barrier = 0.1

    def loss(point: np.ndarray) -> float:
        return float(point.sum() - np.log(probabilities @ point).mean() - barrier * np.log(point).sum())

    while True:
        for _ in range(60):
            ratios = probabilities / (probabilities @ weights)[:, None]
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

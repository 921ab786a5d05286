"""Bootstrap confidence intervals of means over images, of one measure and of several paired ones."""

from dataclasses import dataclass

import numpy as np

_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A measured value with its 90 % confidence interval.

    Args:
        value: on the data itself.
        low: lower end of the interval.
        high: its upper end.
        standard_error: of the value.
    """

    value: float
    low: float
    high: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def bootstrap_mean(values: np.ndarray, seed: int = 0, rounds: int = 1000) -> Estimate:
    """Bootstrap confidence interval of a mean, over data sets of the same size drawn with replacement.

    For 0 and 1, right and wrong, the mean of a draw is binomial and costs nothing. Where all values are equal the
    interval is a point: the bootstrap cannot know unseen values.

    Args:
        values: (N,): whether each image was classified correctly, or any measure per image.
        seed: of the draws.
        rounds: how many data sets are drawn.

    Returns:
        The mean, the 5th and 95th percentile of the drawn means, and their standard deviation.

    Raises:
        ValueError: for no values.

    Example:
        >>> import numpy as np
        >>> from kerastricks.metrics.bootstrap import bootstrap_mean
        >>> print(bootstrap_mean(np.array([True] * 173 + [False] * 27)))
        0.865 (0.825 to 0.900)

    Reference:
        Efron: Bootstrap methods: another look at the jackknife, Annals of Statistics 7, 1979. Percentile interval.
    """
    exact = np.asarray(values, "float64")
    if exact.ndim != 1 or not len(exact):
        raise ValueError(f"values must be (N,) with N at least 1. Received: shape {exact.shape}")
    count, generator = len(exact), np.random.default_rng(seed)
    if np.isin(exact, (0.0, 1.0)).all():
        means = generator.binomial(count, exact.mean(), rounds) / count
    else:
        part = max(_DRAWS_AT_ONCE // count, 1)
        sizes = [min(part, rounds - done) for done in range(0, rounds, part)]
        means = np.concatenate([exact[generator.integers(0, count, (size, count))].mean(axis=1) for size in sizes])
    low, high = np.percentile(means, [5, 95])
    return Estimate(float(exact.mean()), float(low), float(high), float(means.std()))


def paired_bootstrap(values: np.ndarray, seed: int = 0, rounds: int = 1000) -> list[Estimate]:
    """Bootstrap confidence intervals of several means over the same images, with one draw of images for all rows.

    For a row of differences between two methods it gives the spread that remains when both see the same images.

    Args:
        values: (V, N): V measures for each of N images.
        seed: of the draws.
        rounds: how many sets are drawn.

    Returns:
        V estimates, with the 5th and the 95th percentile and the deviation of the drawn means.

    Reference:
        Efron: Bootstrap methods: another look at the jackknife, Annals of Statistics 7, 1979. Percentile interval.
    """
    exact = np.asarray(values, "float64")
    images = exact.shape[1]
    generator = np.random.default_rng(seed)
    part = max(_DRAWS_AT_ONCE // images, 1)
    drawn = []
    for done in range(0, rounds, part):
        size = min(part, rounds - done)
        indices = generator.integers(0, images, (size, images)) + images * np.arange(size)[:, None]
        times = np.bincount(indices.ravel(), minlength=size * images).reshape(size, images)
        drawn.append(exact @ times.T / images)
    means = np.concatenate(drawn, axis=1)
    low, high = np.percentile(means, [5, 95], axis=1)
    rows = zip(exact.mean(axis=1), low, high, means.std(axis=1), strict=True)
    return [Estimate(*map(float, row)) for row in rows]

"""How sure several means over the same images are."""

import numpy as np

from kerastricks.metrics.bootstrap import Estimate

_DRAWS_AT_ONCE = 4_000_000


def paired_bootstrap(values: np.ndarray, seed: int = 0, rounds: int = 1000) -> list[Estimate]:
    """Means, and how they vary over sets of images drawn from these with replacement, the same sets for every row.

    Of a difference between two methods, image by image, it gives the spread that remains when both see the same images.

    Args:
        values: (V, N) of V measures for each of N images.
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
        places = generator.integers(0, images, (size, images)) + images * np.arange(size)[:, None]
        times = np.bincount(places.ravel(), minlength=size * images).reshape(size, images)
        drawn.append(exact @ times.T / images)
    means = np.concatenate(drawn, axis=1)
    low, high = np.percentile(means, [5, 95], axis=1)
    rows = zip(exact.mean(axis=1), low, high, means.std(axis=1), strict=True)
    return [Estimate(*map(float, row)) for row in rows]

"""Paired differences between arms that share seeds: t test, confidence interval, Holm's correction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class PairedDifference:
    """Arm minus baseline over the seeds; None where one seed, or no spread, leaves nothing to compute it from.

    Args:
        seeds: how many.
        mean: of the differences.
        std: of the differences, with n - 1.
        low: lower end of the 95 % confidence interval of the mean.
        high: its upper end.
        p_value: of the two-sided t test of a mean of 0.
    """

    seeds: int
    mean: float
    std: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None

    def seeds_needed(self, tests: int = 1) -> int | None:
        """Estimates the number of seeds that finds this difference, if it is real, with 80 % power.

        (z(1 - 0.05 / (2 tests)) + z(0.8))^2 (std / mean)^2, which is 7.85 (std / mean)^2 for one test, and half of
        z(..)^2 more because the deviation is estimated. With the deviation of single runs in place of that of
        differences, and without pairing, 7.85 becomes the familiar 15.7 runs an arm.

        Args:
            tests: the number of tests corrected for.

        Returns:
            A number greater than `seeds`; None where the differences are 0 or have no spread.
        """
        if not self.std or not self.mean:
            return None
        level = stats.norm.ppf(1 - (1 - CONFIDENCE) / (2 * tests))
        needed = (level + stats.norm.ppf(POWER)) ** 2 * (self.std / self.mean) ** 2 + level**2 / 2
        return max(math.ceil(needed), self.seeds + 1)


def paired_difference(baseline: Sequence[float], arm: Sequence[float]) -> PairedDifference:
    """Tests the mean of differences seed by seed: a paired t test with its confidence interval.

    The effect of a seed on both arms (an easy order of batches, a lucky initialization) drops out: the interval is
    narrower than that of two independent means, by as much as the arms correlate.

    Args:
        baseline: one value per seed.
        arm: as many, of the same seeds in the same order.

    Returns:
        A `PairedDifference`, with Student's t distribution of n - 1 degrees of freedom. Differences that are the
        same in every seed have no p value: a t test would call them certain, however few they are.

    Raises:
        ValueError: for different numbers of values, or none.

    Example:
        >>> from kerastricks.metrics import paired_difference
        >>> found = paired_difference([0.90, 0.92, 0.91], [0.92, 0.95, 0.92])
        >>> f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f}), p {found.p_value:.3f}"
        '0.020 (-0.005 to 0.045), p 0.074'

    Reference:
        Student: The probable error of a mean, Biometrika 6, 1908.
    """
    if len(baseline) != len(arm) or not len(arm):
        raise ValueError(
            f"baseline and arm must have one value per seed, each as many. Received: {len(baseline)} and {len(arm)}"
        )
    differences = np.asarray(arm, "float64") - np.asarray(baseline, "float64")
    count, mean = len(differences), float(differences.mean())
    if count == 1:
        return PairedDifference(1, mean)
    std = float(differences.std(ddof=1))
    if std <= 1e-12 * max(np.abs(baseline).max(), np.abs(arm).max()):  # only rounding
        return PairedDifference(count, mean, 0.0, mean, mean)
    found = stats.ttest_rel(arm, baseline)
    interval = found.confidence_interval(CONFIDENCE)
    return PairedDifference(count, mean, std, float(interval.low), float(interval.high), float(found.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p values for their number (Holm), so that the family-wise error rate is that of one test.

    The smallest is multiplied by their number, the next by one less and so on; none falls below one before it. It
    is never weaker than Bonferroni's correction and assumes no independence.

    Args:
        p_values: each in [0, 1].

    Returns:
        The corrected values, in the order given, at most 1.

    Example:
        >>> from kerastricks.metrics import holm
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

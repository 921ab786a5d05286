"""The paired difference against scipy, a table and its own power."""

import numpy as np
import pytest
from scipy import stats

from kerastricks.metrics import paired_difference

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize("seeds", [2, 5, 20])
def test_interval_and_p_value_are_those_of_scipy(seeds):
    generator = np.random.default_rng(seeds)
    baseline = generator.normal(0.9, 0.02, seeds)
    arm = baseline + generator.normal(0.01, 0.01, seeds)
    expected = stats.ttest_rel(arm, baseline)
    low, high = expected.confidence_interval(0.95)
    found = paired_difference(baseline, arm)
    np.testing.assert_allclose([found.p_value, found.low, found.high], [expected.pvalue, low, high], rtol=1e-10)
    assert found.mean == pytest.approx(np.mean(arm) - np.mean(baseline))


def test_a_hand_example():
    # Differences 1, 2, 3: mean 2, deviation 1, error 1 / sqrt(3); t(0.975, 2) = 4.3027 in the tables.
    found = paired_difference([10, 10, 10], [11, 12, 13])
    assert (found.seeds, found.mean, found.std) == (3, 2.0, 1.0)
    assert found.low == pytest.approx(2 - 4.3027 / 3**0.5, abs=1e-4)
    assert found.high == pytest.approx(2 + 4.3027 / 3**0.5, abs=1e-4)


def test_what_a_seed_does_to_both_arms_drops_out():
    seeds = np.array([0.0, 10.0, -7.0, 3.0])
    wiggle = np.array([0.1, -0.1, 0.05, -0.05])
    assert paired_difference(seeds, seeds + wiggle).std == pytest.approx(wiggle.std(ddof=1))


def test_one_seed_has_a_difference_and_no_interval():
    found = paired_difference([0.9], [0.95])
    assert found.mean == pytest.approx(0.05)
    assert (found.std, found.low, found.high, found.p_value, found.seeds_needed()) == (None,) * 5


def test_a_difference_without_spread_has_no_p_value():
    # Two accuracies that differ by one image in both of two seeds prove nothing.
    found = paired_difference([0.90, 0.92], [0.91, 0.93])
    assert found.std == 0
    assert found.p_value is None
    assert found.seeds_needed() is None


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"each as many\. Received: 2 and 3"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="Received: 0 and 0"):
        paired_difference([], [])


@pytest.mark.parametrize("tests", [1, 4])
def test_the_seeds_needed_give_the_power_that_is_promised(tests):
    # Differences of mean 1 and deviation exactly 2, then the exact power of the t test at the answer.
    pattern = np.array([1.0, -1.0] * 3)
    differences = 1 + 2 * pattern / pattern.std(ddof=1)
    needed = paired_difference(np.zeros(6), differences).seeds_needed(tests)
    level = stats.t.ppf(1 - 0.05 / (2 * tests), needed - 1)
    power = stats.nct.sf(level, needed - 1, np.sqrt(needed) / 2)
    assert power == pytest.approx(0.8, abs=0.015)


def test_the_rule_of_thumb_of_15_7():
    # Independent arms of deviation s: their difference has sqrt(2) s, and 7.85 * 2 is 15.7.
    generator = np.random.default_rng(0)
    differences = generator.normal(0, 1, 2000)
    differences = 0.05 + (differences - differences.mean()) / differences.std(ddof=1) * np.sqrt(2)
    needed = paired_difference(np.zeros(2000), differences).seeds_needed()
    assert needed == pytest.approx(15.7 / 0.05**2, rel=0.001)


def test_more_seeds_than_there_are():
    found = paired_difference([0.0, 0.0, 0.0], [0.9, 1.0, 1.1])
    assert found.seeds_needed() == 4

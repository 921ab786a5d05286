"""The bootstrap of a mean against the formulas it approaches."""

import numpy as np
import pytest
from scipy import stats

from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean

pytestmark = pytest.mark.tensorflow_only


def test_an_estimate_prints_its_interval():
    assert str(Estimate(0.8652, 0.8341, 0.8938, 0.02)) == "0.865 (0.834 to 0.894)"


@pytest.mark.parametrize("values", [np.arange(400) % 5 > 0, stats.gamma(2).rvs(400, random_state=0)])
def test_spread_and_interval_are_those_of_the_central_limit(values):
    rounds = 20_000
    found = bootstrap_mean(values, seed=1, rounds=rounds)
    error = np.std(values) / np.sqrt(len(values))
    # A deviation of 20,000 draws has itself an error of 1 / sqrt(2 * rounds); percentiles that of the density there.
    assert found.standard_error == pytest.approx(error, rel=5 / np.sqrt(2 * rounds))
    assert found.value == pytest.approx(np.mean(values))
    z = stats.norm.ppf(0.95)
    bound = 5 * np.sqrt(0.05 * 0.95 / rounds) / stats.norm.pdf(z) * error + 0.5 / len(values)
    assert found.low == pytest.approx(found.value - z * error, abs=bound + 0.05 * error)
    assert found.high == pytest.approx(found.value + z * error, abs=bound + 0.05 * error)


def test_the_interval_holds_the_truth_in_nine_of_ten():
    generator = np.random.default_rng(0)
    inside = []
    for seed in range(400):
        found = bootstrap_mean(generator.random(300) < 0.8, seed=seed)
        inside.append(found.low <= 0.8 <= found.high)
    assert abs(np.mean(inside) - 0.9) < 4 * np.sqrt(0.09 / 400)


def test_the_seed_decides():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_all_right_is_a_point():
    assert bootstrap_mean(np.ones(10)) == Estimate(1.0, 1.0, 1.0, 0.0)


def test_nothing_is_refused():
    with pytest.raises(ValueError, match=r"N at least 1\. Received: shape \(0,\)"):
        bootstrap_mean(np.zeros(0))

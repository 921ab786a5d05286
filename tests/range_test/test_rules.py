"""Rules and smoothing against references written step by step, on curves made by hand."""

import math

import numpy as np
import pytest

from kerastricks.errors import UsageError
from kerastricks.range_test import (
    between_edges,
    exponential_average,
    fill_stopped,
    minimum_over_ten,
    smooth,
    steepest,
    valley,
)

pytestmark = pytest.mark.tensorflow_only


def curves():
    generator = np.random.default_rng(0)
    found = [generator.normal(size=n).cumsum() for n in (20, 37, 60, 100)]
    steps = np.linspace(-5, 1, 100)
    found.append(2.3 - 1.5 / (1 + np.exp(-3 * (steps + 1.5))) + 4 / (1 + np.exp(-6 * (steps - 0.5))))
    return found


def geometric(losses, low=1e-5, high=10.0):
    return np.geomspace(low, high, len(losses))


def fastai_valley(rates, losses):
    """The procedure of fastai's rule, loop by loop."""
    lengths, best_end, start = [1] * len(losses), 0, 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] <= lengths[j]:
                lengths[i] = lengths[j] + 1
            if lengths[i] > lengths[best_end]:
                best_end, start = i, None
                start = best_end - lengths[best_end]
    section = (best_end - start) / 3
    return rates[max(start + math.floor(section) + math.floor(section / 2), 0)]


@pytest.mark.parametrize("losses", curves())
def test_valley_is_fastai_s(losses):
    rates = geometric(losses)
    assert valley(rates, losses) == fastai_valley(rates, losses)


def test_valley_of_a_rising_curve_is_its_beginning():
    assert valley(geometric(range(9)), np.arange(9.0)) == 1e-5


@pytest.mark.parametrize("losses", curves())
def test_steepest_looks_forward_or_to_both_sides(losses):
    rates = geometric(losses)
    forward = [
        (losses[i + 1] - losses[i]) / (math.log(rates[i + 1]) - math.log(rates[i])) for i in range(len(losses) - 1)
    ]
    assert steepest(rates, losses) == rates[forward.index(min(forward))]
    central = [losses[1] - losses[0]]
    central += [(losses[i + 1] - losses[i - 1]) / 2 for i in range(1, len(losses) - 1)]
    central += [losses[-1] - losses[-2]]
    assert steepest(rates, losses, "central") == rates[central.index(min(central))]


def test_steepest_counts_by_the_decade_where_rates_are_unevenly_spaced():
    rates, losses = np.array([1e-3, 1e-2, 2e-2, 1.0]), np.array([2.0, 1.5, 1.2, 1.0])
    assert steepest(rates, losses) == 1e-2


@pytest.mark.parametrize("losses", curves())
def test_minimum_over_ten(losses):
    rates = geometric(losses)
    lowest = min(range(len(losses)), key=lambda i: losses[i])
    assert minimum_over_ten(rates, losses) == pytest.approx(rates[lowest] / 10)


@pytest.mark.parametrize(("memory", "unbiased"), [(0.98, True), (0.95, False), (0.5, True)])
def test_the_running_averages_of_the_others(memory, unbiased):
    losses = np.random.default_rng(1).uniform(1, 3, 30)
    expected = []
    if unbiased:  # fastai
        for n in range(30):
            weights = [memory ** (n - i) for i in range(n + 1)]
            expected.append(sum(w * loss for w, loss in zip(weights, losses[: n + 1], strict=True)) / sum(weights))
    else:  # torch-lr-finder
        for loss in losses:
            expected.append(loss if not expected else (1 - memory) * loss + memory * expected[-1])
    np.testing.assert_allclose(exponential_average(losses, memory, unbiased), expected, rtol=1e-12)


@pytest.mark.parametrize("width", [0.5, 2.5, 10.0])
def test_smoothing_is_a_gaussian_average_that_knows_its_ends(width):
    losses = np.random.default_rng(2).uniform(1, 3, (2, 25))
    expected = np.empty_like(losses)
    for sweep in range(2):
        for here in range(25):
            total, weights = 0.0, 0.0
            for there in range(25):
                weight = math.exp(-((here - there) ** 2) / (2 * width**2))
                total, weights = total + weight * losses[sweep, there], weights + weight
            expected[sweep, here] = total / weights
    np.testing.assert_allclose(smooth(losses, width), expected, rtol=1e-12)
    np.testing.assert_allclose(smooth(np.full(25, 2.3), width), 2.3, rtol=1e-12)
    np.testing.assert_array_equal(smooth(losses, 0), losses)


def test_smoothing_moves_no_edge():
    step = np.where(np.arange(101) < 50, 1.0, 2.0)
    step[50] = 1.5
    np.testing.assert_allclose(smooth(step, 4.0)[50], 1.5, atol=1e-9)


def test_a_stopped_sweep_is_as_bad_as_a_divergence():
    losses = np.full((2, 20), 2.0)
    losses[:, 10] = 0.5
    losses[0, 15:] = np.nan
    losses[0, 14] = np.inf
    losses[1, 16:] = 1e9
    filled = fill_stopped(losses)
    ceiling = 2.0 + 1.5
    np.testing.assert_array_equal(filled[0, 14:], ceiling)
    np.testing.assert_array_equal(filled[1, 16:], ceiling)
    np.testing.assert_array_equal(filled[1, :16], losses[1, :16])
    flat = fill_stopped(np.array([[2.0] * 15 + [np.inf] + [np.nan] * 4]))
    np.testing.assert_array_equal(flat[0, 15:], 2.5)


def test_between_edges_of_straight_lines():
    # Falls from 2 to 1 over two decades, and rises by 1 over the next.
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    lower = 10 ** (-2 + 0.4 / 0.5)  # 1.1, nine tenths of the way down, on the line from 1.5 to 1
    upper = 10 ** (-1 + 0.25)  # 1.25, on the line from 1 to 2
    losses = np.array([2.0, 2.0, 1.5, 1.0, 2.0])
    assert between_edges(rates, losses) == pytest.approx(lower**0.4 * upper**0.6)


def test_between_edges_stays_within_reach_of_the_lower_one():
    # As before, but rests for two decades at the bottom.
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0])
    losses = np.array([2.0, 2.0, 1.5, 1.0, 1.0, 1.0, 2.0])
    assert between_edges(rates, losses) == pytest.approx(6 * 10 ** (-2 + 0.4 / 0.5))


def test_between_edges_scales_with_rates_and_not_with_losses():
    losses = curves()[-1]
    rates = geometric(losses)
    plain = between_edges(rates, losses)
    assert between_edges(7 * rates, losses) == pytest.approx(7 * plain)
    assert between_edges(rates, 5 * losses + 3) == pytest.approx(plain)


def test_between_edges_has_no_answer_where_nothing_falls():
    assert between_edges(geometric(range(30)), np.arange(30.0)) is None
    assert between_edges(geometric(range(30)), np.full(30, 2.3)) is None


@pytest.mark.parametrize("rule", [steepest, valley, minimum_over_ten, between_edges])
@pytest.mark.parametrize(
    ("rates", "losses", "message"),
    [
        ([1e-3, 1e-2], [1.0], "two or more of each"),
        ([1e-2, 1e-3], [1.0, 2.0], "rise from each to the next"),
        ([0.0, 1e-3], [1.0, 2.0], "above 0"),
        ([1e-3, 1e-2], [1.0, np.nan], "must be finite"),
    ],
)
def test_what_is_no_curve_is_refused(rule, rates, losses, message):
    with pytest.raises(UsageError, match=message):
        rule(np.array(rates), np.array(losses))


def test_another_difference_is_refused():
    with pytest.raises(UsageError, match="difference: must be one of forward, central"):
        steepest(np.array([1.0, 2.0]), np.array([1.0, 2.0]), "backward")

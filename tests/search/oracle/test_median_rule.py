"""The median rule on curves made by hand."""

import pytest

from kerastricks.search.oracle.oracles import cannot_win

pytestmark = pytest.mark.tensorflow_only

# Running means after two steps: 0.15, 0.25, 0.35, 0.45; their median is 0.3. After three: 0.2, 0.3, 0.4, 0.5.
FINISHED = [{1: 0.1 * n, 2: 0.1 * (n + 1), 3: 0.1 * (n + 2)} for n in (1, 2, 3, 4)]


def stops(curve, finished=FINISHED, direction="max", **options):
    return cannot_win(curve, finished, direction, **options)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ({1: 0.1, 2: 0.29}, True),
        ({1: 0.1, 2: 0.31}, False),
        ({1: 0.31, 2: 0.1}, False),  # its best counts, and that was the first
        ({1: 0.1, 2: 0.29, 3: 0.33}, True),  # 0.35 at the third step
        ({1: 0.1, 2: 0.29, 3: 0.36}, False),
    ],
)
def test_best_value_against_the_median_of_the_means_so_far(curve, expected):
    assert stops(curve) is expected
    mirrored = [{step: -value for step, value in one.items()} for one in FINISHED]
    assert stops({step: -value for step, value in curve.items()}, mirrored, "min") is expected


def test_the_direction_matters():
    assert stops({1: 0.1, 2: 0.1}, direction="max")
    assert not stops({1: 0.1, 2: 0.1}, direction="min")
    assert stops({1: 0.9, 2: 0.9}, direction="min")


def test_as_good_as_the_median_goes_on():
    curves = [{1: 0.5, 2: 0.5}] * 4
    assert not stops({1: 0.5, 2: 0.5}, curves)
    assert stops({1: 0.5, 2: 0.499}, [{1: 0.5, 2: 0.5}] * 2 + [{1: 0.6, 2: 0.6}] * 3)


def test_nothing_is_stopped_before_there_are_enough_to_compare_with():
    assert not stops({1: 0.0, 2: 0.0}, FINISHED[:3])
    assert stops({1: 0.0, 2: 0.0}, FINISHED[:3], first_trials=3)
    assert not stops({1: 0.0, 2: 0.0}, FINISHED, first_trials=5)


def test_nothing_is_stopped_during_the_first_steps():
    assert not stops({1: 0.0})
    assert stops({1: 0.0}, first_steps=1)
    assert not stops({1: 0.0, 2: 0.0}, first_steps=3)
    assert not stops({})


def test_those_that_were_stopped_earlier_are_not_compared_with():
    short = [{1: 0.1 * n} for n in range(1, 9)]
    assert not stops({1: 0.0, 2: 0.0}, short)
    assert not stops({1: 0.0, 2: 0.0}, [*FINISHED[:3], *short])
    # Three that got as far, low, are what counts; five high ones ended before.
    high = [{1: 0.9}] * 5
    assert not stops({1: 0.2, 2: 0.2}, [{1: 0.1, 2: 0.1}] * 3 + high, first_trials=3)


def test_later_steps_of_the_finished_ones_are_not_looked_at():
    late = [{1: 0.1, 2: 0.1, 3: 5.0}] * 4
    assert not stops({1: 0.2, 2: 0.2}, late)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", range(5))
def test_values_that_are_no_numbers_do_not_count(bad, place):
    curves = [*FINISHED[:place], {1: bad, 2: bad}, *FINISHED[place:]]
    assert stops({1: 0.1, 2: 0.29}, curves)
    assert not stops({1: 0.1, 2: 0.31}, curves)
    assert not stops({1: 0.31, 2: bad})
    assert stops({1: 0.29, 2: bad})
    assert stops({1: bad, 2: 0.29})
    assert not stops({1: bad, 2: bad})  # training itself ends that

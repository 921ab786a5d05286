"""Where a value lies on its axis."""

import itertools
import random

import pytest

from kerastricks.charts.axes import value_axes

pytestmark = pytest.mark.tensorflow_only


def axis(*values, log_names=None):
    (found,) = value_axes([{"value": value} for value in values], log_names)
    return found


def test_a_logarithmic_axis_has_equal_steps_for_equal_factors():
    found = axis(1e-4, 1e-3, 1e-2, 1.0)
    assert found.kind == "log"
    assert [found.place(value) for value in (1e-4, 1e-3, 1e-2, 1.0)] == pytest.approx([0, 0.25, 0.5, 1])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((0.1, 0.2, 0.3), "linear"),
        ((32, 64, 256), "log"),
        ((30, 40, 256), "linear"),
        ((0.0, 1e-4, 5e-3), "category"),
        ((1e-4, 1e-2), "log"),
        ((0.0, 0.25, 0.5), "linear"),
        (("a", "b"), "category"),
        ((True, False), "category"),
        ((1, "a"), "category"),
        ((0.1, 0.1), "linear"),
    ],
)
def test_the_kind_is_seen_from_the_values(values, kind):
    assert axis(*values).kind == kind


def test_even_numbers_over_decades_are_not_taken_for_logarithmic():
    draw = random.Random(0)
    assert axis(*(draw.uniform(0, 0.5) for _ in range(50))).kind == "linear"
    assert axis(*(10 ** draw.uniform(-4, 0) for _ in range(50))).kind == "log"


def test_the_caller_knows_better():
    assert axis(0.1, 0.2, 0.3, log_names=["value"]).kind == "log"
    assert axis(1e-4, 1e-2, 1.0, log_names=[]).kind == "linear"


def test_names_lie_apart_and_true_is_not_one():
    found = axis(True, 1, "true?", None)
    places = [found.place(value) for value in (True, 1, "true?", None)]
    assert sorted(places) == pytest.approx([0.125, 0.375, 0.625, 0.875])


def test_ticks_are_in_order_within_the_axis_and_do_not_touch():
    for found in (axis(*(10 ** (-4 + i / 7) for i in range(28))), axis(*(0.013 * i for i in range(40)))):
        ticks = found.ticks()
        places = [place for place, _ in ticks]
        assert places[0] == 0
        assert places[-1] == 1
        assert all(after - before > 0.08 for before, after in itertools.pairwise(places))
        assert 3 <= len(ticks) <= 9


def test_a_value_that_is_sometimes_there_says_so():
    rows = [{"a": 1}, {"a": 1, "b": 2}]
    assert {found.name: found.sometimes for found in value_axes(rows)} == {
        "a": False,
        "b": True,
    }
    assert [found.constant for found in value_axes(rows)] == [True, False]

"""Curves in lines of text."""

import pytest

from kerastricks.schedules import text_plot

pytestmark = pytest.mark.tensorflow_only


def lit(lines):
    """(column, level from the bottom) of every braille dot."""
    places = {
        0x40: (0, 0),
        0x04: (0, 1),
        0x02: (0, 2),
        0x01: (0, 3),
        0x80: (1, 0),
        0x20: (1, 1),
        0x10: (1, 2),
        0x08: (1, 3),
    }
    return {
        (2 * index + place[0], 4 * (len(lines) - 1 - row) + place[1])
        for row, line in enumerate(lines)
        for index, sign in enumerate(line)
        for bit, place in places.items()
        if (ord(sign) - 0x2800) & bit and sign != " "
    }


def test_every_column_has_its_level():
    values = list(range(8))
    assert lit(text_plot(values, width=4, height=2)) == {(index, index) for index in range(8)}


def test_a_jump_is_joined():
    dots = lit(text_plot([0, 0, 7, 7], width=2, height=2))
    assert {(2, level) for level in range(8)} <= dots


def test_stars_without_unicode():
    assert text_plot([2, 1, 0], width=3, height=3, braille=False) == ["*", " *", "  *"]


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [1e-9], [3.0] * 1000])
def test_flat_curves_fit(values):
    lines = text_plot(values, width=10, height=3)
    assert len(lines) == 3
    assert max(map(len, lines)) == 10

"""Tables with captions and sort keys."""

import math

import pytest

from kerastricks.charts.table import Cell, html_table, number

pytestmark = pytest.mark.tensorflow_only


def test_a_table_names_itself_its_columns_and_its_rows():
    found = html_table("<caption>", ["class", "recall"], [[Cell("<a>", "<a>"), number(0.5, "50 %")]])
    assert "<caption>&lt;caption&gt;</caption>" in found
    assert '<th scope="row" data-v="&lt;a&gt;">&lt;a&gt;</th>' in found
    assert '<td class="number" data-v="0.5">50 %</td>' in found
    assert 'class="sortable"' in found


@pytest.mark.parametrize("value", [None, math.nan])
def test_no_number_sorts_last(value):
    assert 'data-v=""' in number(value, "nan").to_html()
    assert number(None, "0").text == "-"


def test_a_table_without_rows_is_a_table():
    assert "<tbody>" in html_table("none", ["a"], [], sortable=False)

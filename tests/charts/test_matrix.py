"""A matrix of counts as SVG."""

import re

import numpy as np
import pytest

from kerastricks.charts.matrix import matrix_svg

pytestmark = pytest.mark.tensorflow_only


def test_every_count_is_a_cell_with_its_share_of_the_row():
    found = matrix_svg(np.array([[3, 1], [0, 2000]]), ["a<b", "c"], "<matrix>")
    assert found.count('class="right"') == 2
    assert found.count('class="wrong"') == 1
    assert "<title>a&lt;b, predicted as c: 1 (25.0%)</title>" in found
    assert 'aria-label="&lt;matrix&gt;"' in found
    assert ">2k</text>" in found


def test_the_largest_share_is_the_strongest():
    found = matrix_svg(np.array([[1, 9], [5, 5]]), ["a", "b"], "")
    opacity = dict(re.findall(r"<title>(\w, predicted as \w)[^>]*>\s*.*?fill-opacity=\"([\d.]+)\"", found))
    assert float(opacity["a, predicted as b"]) > float(opacity["b, predicted as a"])
    assert float(opacity["a, predicted as b"]) <= 1


def test_many_classes_have_no_numbers_and_an_empty_row_is_no_error():
    found = matrix_svg(np.eye(30, dtype=int), [str(index) for index in range(30)], "")
    assert found.count("<text") == 2 * 30 + 2
    assert "nan" not in matrix_svg(np.zeros((2, 2), int), ["a", "b"], "")

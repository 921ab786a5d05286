"""A page of charts about points that are no trials."""

import pytest

from kerastricks.charts.axes import value_axes
from kerastricks.charts.page import fact_list, half_figure, note, tile, write_page
from kerastricks.charts.parallel_coordinates import Line, plot_parallel_coordinates
from kerastricks.charts.svg import page_style

pytestmark = pytest.mark.tensorflow_only
ROWS = [{"width": 8, "kind": "a<b"}, {"width": 16, "kind": "c"}, {"width": 64}]
TITLES = {index: f"<row> {index}" for index in range(3)}


def test_any_points_make_a_page_of_one_file(tmp_path):
    lines = [Line(2, ROWS[2], None, "red"), Line(0, ROWS[0], 0.5, "blue"), Line(1, ROWS[1], 0.9, "k", is_best=True)]
    with page_style():
        figure = plot_parallel_coordinates(value_axes(ROWS), lines, "accuracy", (0.4, 1.0), less_is_better=False)
        chart = half_figure(figure, "p", "all rows", TITLES)
    body = "\n".join([tile("<3>", "rows"), fact_list({"name": "a & b"}), note("<note>"), chart])
    write_page(tmp_path / "page.html", "<title> $body", body)
    text = (tmp_path / "page.html").read_text()
    for index in range(3):
        assert text.count(f'class="t t{index}"><title>&lt;row&gt; {index}</title>') == 1
    assert "<h1>&lt;title&gt; $body</h1>" in text
    assert "&lt;3&gt;" in text
    assert "a &amp; b" in text
    assert '<p class="note">&lt;note&gt;</p>' in text
    assert "not used" in text
    assert "failed" in text


@pytest.mark.parametrize("less_is_better", [True, False])
def test_the_better_end_is_on_top(less_is_better):
    lines = [Line(0, ROWS[0], 0.0, "blue"), Line(1, ROWS[1], 1.0, "blue")]
    figure = plot_parallel_coordinates(value_axes(ROWS[:2]), lines, "score", (0.0, 1.0), less_is_better)
    ends = {line.get_gid(): line.get_ydata()[-1] for line in figure.axes[0].get_lines() if line.get_gid()}
    assert ends == {"trial:0": float(less_is_better), "trial:1": float(not less_is_better)}

"""Lines, bands and spans."""

import math

import pytest

from kerastricks.charts.line_chart import Band, ChartLine, Span, legend, plot_lines
from kerastricks.charts.svg import LINES, inline_svg, page_style

pytestmark = pytest.mark.tensorflow_only


def test_values_that_are_no_numbers_are_left_out():
    figure = plot_lines([ChartLine(0, [1, 2, 3, 4], [0.5, None, math.nan, 0.25], LINES[0])], "loss")
    [line] = [one for one in figure.axes[0].get_lines() if one.get_gid() == "trial:0"]
    assert line.get_xdata().tolist() == [1, 4]
    assert line.get_ydata().tolist() == [0.5, 0.25]


def test_a_chart_without_values_is_drawn():
    figure = plot_lines([ChartLine(0, [1], [math.inf], LINES[0]), ChartLine(1, [], [], LINES[1])], "loss", log=True)
    assert not figure.axes[0].get_lines()


def test_spans_are_shaded_with_their_labels_and_do_not_widen_the_axis():
    line = ChartLine(0, [1, 2, 3], [3, 2, 1], LINES[0])
    plain = plot_lines([line], "loss").axes[0].get_xlim()
    axes = plot_lines([line], "loss", spans=[Span(0, 50, LINES[1], "1"), Span(2, 3, LINES[1], "2")]).axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "2"]
    assert axes.get_xlim() == plain


def test_labels_of_spans_are_above_the_axes_and_below_each_other():
    line = ChartLine(0, [1, 2, 3], [3, 2, 1], LINES[0])
    spans = [Span(1, 2, LINES[1], "1"), Span(1, 2, LINES[1], "2"), Span(2.4, 9, LINES[1], "3")]
    axes = plot_lines([line], "loss", spans=spans).axes[0]
    heights = [text.xy[1] for text in sorted(axes.texts, key=lambda text: text.get_text())]
    assert heights[0] - 0.05 > heights[1] > heights[2] + 0.05
    assert heights[2] > 1
    bar = axes.get_lines()[1]  # of the last one
    assert bar.get_xdata().tolist() == [2.4, axes.get_xlim()[1]]


def test_a_band_and_its_line_light_up_together():
    with page_style():
        figure = plot_lines(
            [ChartLine(3, [1, 2], [1, 2], LINES[0])], "loss", bands=[Band(3, [1, 2], [0, 1], [2, 3], LINES[0])]
        )
        found = inline_svg(figure, "p", "loss", {3: "run"})
    assert found.count('class="t t3"') == 2


def test_a_logarithmic_axis_needs_positive_values():
    def scale(values):
        return plot_lines([ChartLine(0, [1, 2], values, LINES[0])], "rate", log=True).axes[0].get_yscale()

    assert scale([0.1, 1e-4]) == "log"
    assert scale([0.1, 0.0]) == "linear"


def test_names_in_a_legend_are_text():
    found = legend([("<b>", LINES[0], False), ("plain", LINES[1], True)], marked=True)
    assert "&lt;b&gt;" in found
    assert 'class="t t1"' in found
    assert "dashed var(--line1)" in found

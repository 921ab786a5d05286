"""Figures inside a page take their colours from the page's style."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import kerastricks.charts
from kerastricks.charts import svg
from kerastricks.charts.svg import css_colour, inline_svg, mark, page_style

pytestmark = pytest.mark.tensorflow_only

CSS = (Path(kerastricks.charts.__file__).parent / "page_files" / "page.css").read_text()


def test_greys_are_ink_on_paper():
    assert css_colour("#ffffff") == "var(--ink0)"
    assert css_colour("#000000") == "var(--ink100)"
    assert css_colour("#404040") == "var(--ink70)"
    assert css_colour("#440154") == "#440154"


def test_every_colour_of_a_figure_is_in_the_style():
    used = {css_colour(f"#{grey:02x}{grey:02x}{grey:02x}") for grey in range(256)}
    used |= {css_colour(colour) for colour in (*svg.LINES, svg.BEST, svg.FAILED, svg.WARNING, svg.NOTE, svg.GOOD)}
    for name in used:
        assert f"{re.search(r'--[a-z0-9]+', name)[0]}:" in CSS
    dark = CSS[CSS.index("prefers-color-scheme: dark") :]
    assert all(f"--line{number}:" in dark for number in range(len(svg.LINES)))


def test_figures_hold_variables_and_texts_stay_as_they_are():
    with page_style():
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=svg.LINES[1], gid=mark(0))
        axes.set_title("#ffffff")
        found = inline_svg(figure, "p", "a line", {0: "#000000"})
    assert "stroke: var(--line1)" in found
    assert "fill: var(--ink0)" in found
    assert not re.search(r'style="[^"]*#[0-9a-f]{6}', found)
    assert ">#ffffff</text>" in found
    assert "<title>#000000</title>" in found

"""Lines over a common axis, with bands and marked spans; the legend is HTML, readable at every width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from kerastricks.charts.axes import short_value
from kerastricks.charts.svg import css_colour, mark

_SIZE = (4.4, 3.1)
_ROW = 0.07  # height of a span's bar, as a share of the axes


@dataclass(frozen=True)
class ChartLine:
    """One line.

    Args:
        index: of what it belongs to, for `inline_svg`.
        x: of its points; those with a value that is not finite are left out.
        y: as many.
        colour: one of `kerastricks.charts.svg.LINES`.
        dashed: whether it is dashed and thin.
        dots: whether each point is marked; one that is alone always is.
        weights: of the points, from 0 to 1, which are marked by dots of that area; None for equal ones.
    """

    index: int
    x: Sequence[float]
    y: Sequence[float | None]
    colour: str
    dashed: bool = False
    dots: bool = False
    weights: Sequence[float] | None = None


@dataclass(frozen=True)
class Band:
    """A faint area between two lines.

    Args:
        index: of what it belongs to.
        x: of its edges.
        low: lower edge.
        high: upper edge.
        colour: as of a line.
    """

    index: int
    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: str


@dataclass(frozen=True)
class Span:
    """A shaded part of the axis.

    Args:
        first: where it begins.
        last: where it ends.
        colour: of the shade.
        label: a few characters, above it.
    """

    first: float
    last: float
    colour: str
    label: str


def plot_lines(
    lines: Sequence[ChartLine],
    y_label: str,
    *,
    x_label: str = "epoch",
    bands: Sequence[Band] = (),
    spans: Sequence[Span] = (),
    limits: tuple[float | None, float | None] = (None, None),
    log: bool = False,
    whole_x: bool = True,
) -> Figure:
    """Plots lines, bands under them, and spans under both.

    Args:
        lines: later ones lie above earlier ones.
        y_label: name of the values.
        x_label: name of the axis.
        bands: of the lines.
        spans: shaded over the whole height.
        limits: of the values; None for what is shown.
        log: whether the axis of the values is logarithmic, where all are positive.
        whole_x: whether only whole numbers are marked on the axis.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for band in bands:
        axes.fill_between(band.x, band.low, band.high, color=band.colour, alpha=0.16, lw=0, gid=mark(band.index))
    smallest = math.inf
    for line in lines:
        points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None and math.isfinite(y)]
        if not points:
            continue
        smallest = min(smallest, *(y for _, y in points), math.inf)
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=line.colour,
            lw=1.3 if line.dashed else 1.8,
            ls=(0, (4, 2)) if line.dashed else "-",
            marker="o" if line.dots or len(points) == 1 else None,
            ms=3,
            gid=mark(line.index),
            zorder=3,
        )
        if line.weights is not None:
            areas = [6 + 150 * weight for weight in line.weights]
            axes.scatter(line.x, line.y, areas, color=line.colour, alpha=0.55, lw=0, zorder=4, clip_on=False)
    if log and 0 < smallest < math.inf:
        axes.set_yscale("log")
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_ylim(*limits)
    if whole_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    _shade(axes, spans)
    axes.grid(axis="y", color="0.9", lw=0.8)
    axes.set_axisbelow(True)
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_value(float(value))))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_minor_locator(NullLocator())
    return figure


def _shade(axes: Axes, spans: Sequence[Span]) -> None:
    """Shade the spans, each under a bar of its own with its label: above the axes, where no line is."""
    room = axes.get_xlim()
    for row, span in enumerate(reversed(spans)):
        axes.axvspan(span.first, span.last, color=span.colour, alpha=0.08, lw=0, zorder=0)
        first, last = (min(max(end, room[0]), room[1]) for end in (span.first, span.last))
        height = 1.04 + _ROW * row
        above = {"transform": axes.get_xaxis_transform(), "clip_on": False, "color": span.colour}
        axes.plot([first, last], [height, height], lw=3, solid_capstyle="butt", **above)
        beside = {"xytext": (-3, 0), "textcoords": "offset points", "ha": "right", "va": "center", "weight": "bold"}
        axes.annotate(span.label, (first, height), xycoords=axes.get_xaxis_transform(), color=span.colour, **beside)
    axes.set_xlim(room)


def legend(entries: Sequence[tuple[str, str, bool]], marked: bool = False) -> str:
    """A list of what lines mean.

    Args:
        entries: name, colour and whether the line is dashed.
        marked: whether the entry at an index lights up what belongs to that index.
    """
    items = [
        f'<li class="t t{index}">{_swatch(colour, dashed)}{escape(name)}</li>'
        if marked
        else f"<li>{_swatch(colour, dashed)}{escape(name)}</li>"
        for index, (name, colour, dashed) in enumerate(entries)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _swatch(colour: str, dashed: bool) -> str:
    kind = "dashed" if dashed else "solid"
    return f'<span class="swatch" style="border-top: 3px {kind} {css_colour(colour)}"></span>'

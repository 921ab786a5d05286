"""Parallel coordinates: every point is a line through its values to its score."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerastricks.charts.axes import ValueAxis, short_score, short_value
from kerastricks.charts.svg import FAILED, mark

_OUTSIDE = -0.13


@dataclass(frozen=True)
class Line:
    """One point of the data.

    Args:
        index: by which `inline_svg` marks it; the same in all charts of a page.
        values: name to value; a name that is missing lies under its axis.
        score: finite; None where it failed, which ends the line under the axis of the scores.
        colour: of the line.
        is_best: drawn thick, above the others; its score is written at the axis.
        is_thin: drawn thin.
    """

    index: int
    values: Mapping[str, Any]
    score: float | None
    colour: str
    is_best: bool = False
    is_thin: bool = False


def plot_parallel_coordinates(
    value_axes: Sequence[ValueAxis],
    lines: Sequence[Line],
    objective: str,
    limits: tuple[float, float],
    less_is_better: bool,
) -> Figure:
    """Plots a vertical axis for each name and one for the scores, on the right, with the better end on top.

    Args:
        value_axes: from left to right.
        lines: later ones lie above earlier ones, so the best comes last.
        objective: name of the score.
        limits: lowest and highest score shown; what lies beyond ends at the edge.
        less_is_better: whether a low score is good.
    """
    count = len(value_axes)
    figure = Figure(figsize=(max(11.5, 1.15 * (count + 1)), 4.7))
    axes = figure.add_axes((0.055, 0.01, 0.925, 0.87))
    axes.set(xlim=(-0.35, count + 0.25), ylim=(-0.18, 1.03))
    axes.axis("off")
    for position, axis in enumerate(value_axes):
        _plot_axis(axes, position, axis.name, axis.ticks(), "not used" if axis.sometimes else "")
    low, high = limits

    def height(score: float) -> float:
        place = min(max((score - low) / (high - low), 0.0), 1.0)
        return 1 - place if less_is_better else place

    marks: list[tuple[float, str]] = []
    scored = [(line, line.score) for line in lines if line.score is not None]
    if scored:
        scale = ValueAxis("", "linear", tuple(low + (high - low) * step / 8 for step in range(9)), False)
        best = next((score for line, score in scored if line.is_best), scored[-1][1])
        marks = [(height(low + (high - low) * place), text) for place, text in scale.ticks()[1:-1]]
        marks = [(place, text) for place, text in marks if abs(place - height(best)) > 0.06]
        marks.append((height(best), short_score(best)))
    _plot_axis(axes, count, objective, marks, "failed" if len(scored) < len(lines) else "")
    for line in lines:
        failed = line.score is None
        heights = [axis.place(line.values[axis.name]) if axis.name in line.values else _OUTSIDE for axis in value_axes]
        heights.append(_OUTSIDE if line.score is None else height(line.score))
        axes.plot(
            range(count + 1),
            heights,
            color=line.colour,
            lw=2.6 if line.is_best else 0.9 if failed or line.is_thin else 1.3,
            ls=(0, (4, 2)) if failed else "-",
            alpha=1.0 if line.is_best else 0.55 if failed else 0.75,
            marker="o" if count == 0 else None,
            gid=mark(line.index),
            zorder=3 if line.is_best else 2,
        )
    return figure


def _plot_axis(axes: Axes, position: int, name: str, ticks: list[tuple[float, str]], outside: str) -> None:
    """Plots one axis; `outside` is the label of the place under it, "" where nothing lies there."""
    axes.plot([position] * 2, [0, 1], color="0.55", lw=1, zorder=1)
    axes.text(position, 1.05, _wrapped(name), ha="center", va="bottom", weight="bold", color="0.2", clip_on=False)
    box = {"facecolor": "white", "alpha": 0.85, "lw": 0, "pad": 0.6}
    for place, text in ticks:
        axes.plot([position - 0.015, position + 0.015], [place] * 2, color="0.55", lw=1, zorder=1)
        axes.text(position - 0.04, place, text, ha="right", va="center", fontsize=8, bbox=box, zorder=4)
    if outside:
        colour = FAILED if outside == "failed" else "0.5"
        axes.plot([position - 0.06, position + 0.06], [_OUTSIDE] * 2, color=colour, lw=1, zorder=1)
        look: dict[str, Any] = {"fontsize": 8, "color": colour, "bbox": box, "zorder": 4}
        axes.text(position - 0.08, _OUTSIDE, outside, ha="right", va="center", **look)


def _wrapped(name: str, width: int = 14) -> str:
    """A name broken after underscores and dots, at most three lines."""
    lines = [""]
    for part in re.findall(r"[^_.]*[_.]?", short_value(name, limit=40)):
        if lines[-1] and len(lines[-1]) + len(part) > width and len(lines) < 3:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)

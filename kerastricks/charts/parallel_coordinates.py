"""Every trial as a line through its values to its score."""

import re

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerastricks.charts.axes import ValueAxis, short_score, short_value
from kerastricks.search.trial_table import BEST, FAILED, Sheet

_OUTSIDE = -0.13


def draw_parallel_coordinates(sheet: Sheet) -> Figure:
    """A vertical axis for each value, the objective on the right with the better end on top.

    A value that a trial does not have lies under its axis, a failed trial ends under the objective.
    """
    count = len(sheet.axes)
    figure = Figure(figsize=(max(11.5, 1.15 * (count + 1)), 4.7))
    axes = figure.add_axes((0.055, 0.01, 0.925, 0.87))
    axes.set(xlim=(-0.35, count + 0.25), ylim=(-0.18, 1.03))
    axes.axis("off")
    for position, axis in enumerate(sheet.axes):
        _draw_axis(axes, position, axis.name, axis.ticks(), axis.sometimes)
    low, high = sheet.limits([sheet.score(index) for index in sheet.scored]) if sheet.scored else (0.0, 1.0)

    def height(score: float) -> float:
        place = min(max((score - low) / (high - low), 0.0), 1.0)
        return 1 - place if sheet.direction == "min" else place

    if sheet.scored:
        scale = ValueAxis("", "linear", tuple(low + (high - low) * step / 8 for step in range(9)), False)
        marks = [(height(low + (high - low) * place), text) for place, text in scale.ticks()[1:-1]]
        best = sheet.score(sheet.scored[-1] if sheet.best is None else sheet.best)
        marks = [mark for mark in marks if abs(mark[0] - height(best)) > 0.06]
        marks.append((height(best), short_score(best)))
    else:
        marks = []
    _draw_axis(axes, count, sheet.objective, marks, False, bool(sheet.unscored))
    for index in [*sheet.unscored, *sheet.scored]:
        record = sheet.records[index]
        failed = index in sheet.unscored
        heights = [
            axis.place(record.values[axis.name]) if axis.name in record.values else _OUTSIDE for axis in sheet.axes
        ]
        heights.append(_OUTSIDE if failed else height(sheet.score(index)))
        is_best = index == sheet.best
        axes.plot(
            range(count + 1),
            heights,
            color=BEST if is_best else sheet.colours[index],
            lw=2.6 if is_best else 0.9 if failed or record.status == "stopped" else 1.3,
            ls=(0, (4, 2)) if failed else "-",
            alpha=1.0 if is_best else 0.55 if failed else 0.75,
            marker="o" if count == 0 else None,
            gid=f"trial:{index}",
            zorder=3 if is_best else 2,
        )
    return figure


def _draw_axis(
    axes: Axes, position: int, name: str, ticks: list[tuple[float, str]], sometimes: bool, failed: bool = False
) -> None:
    axes.plot([position] * 2, [0, 1], color="0.55", lw=1, zorder=1)
    axes.text(position, 1.05, _wrapped(name), ha="center", va="bottom", weight="bold", color="0.2", clip_on=False)
    box = {"facecolor": "white", "alpha": 0.85, "lw": 0, "pad": 0.6}
    for place, text in ticks:
        axes.plot([position - 0.015, position + 0.015], [place] * 2, color="0.55", lw=1, zorder=1)
        axes.text(position - 0.04, place, text, ha="right", va="center", fontsize=8, bbox=box, zorder=4)
    if sometimes or failed:
        colour = FAILED if failed else "0.5"
        axes.plot([position - 0.06, position + 0.06], [_OUTSIDE] * 2, color=colour, lw=1, zorder=1)
        text, look = "failed" if failed else "not used", {"fontsize": 8, "color": colour, "bbox": box, "zorder": 4}
        axes.text(position - 0.08, _OUTSIDE, text, ha="right", va="center", **look)


def _wrapped(name: str, width: int = 14) -> str:
    """Broken after underscores and dots, at most three lines."""
    lines = [""]
    for part in re.findall(r"[^_.]*[_.]?", short_value(name, limit=40)):
        if lines[-1] and len(lines[-1]) + len(part) > width and len(lines) < 3:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)

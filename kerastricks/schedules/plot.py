"""Pictures of schedules."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from kerastricks.plotting import save_figure

_LINE = "#1f77b4"


def draw_schedules(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], target: Path) -> None:
    """Draws each curve in a panel of its own.

    Args:
        curves: by title: steps and rates.
        target: a PNG; written under another name and renamed when it is whole.
    """
    columns = min(len(curves), 3)
    rows = math.ceil(len(curves) / columns)
    size = (7.0, 4.0) if len(curves) == 1 else (3.9 * columns, 2.3 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (title, (steps, rates)) in zip(grid.flat, curves.items(), strict=False):
        axes.plot(steps, rates, color=_LINE, lw=1.6)
        axes.set_ylim(0, (max(rates) or 1.0) * 1.08)
        axes.set_xlim(0, max(steps[-1], 1))
        axes.set_title(
            "\n".join(textwrap.wrap(title, 70 if len(curves) == 1 else 44)),
            fontsize=11 if len(curves) == 1 else 9,
            loc="left",
            family="monospace",
        )
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9 if len(curves) == 1 else 7)
    for axes in grid[-1]:
        axes.set_xlabel("step", fontsize=9)
    for line in grid:
        line[0].set_ylabel("learning rate", fontsize=9)
    for axes in grid.flat[len(curves) :]:
        axes.set_axis_off()
    save_figure(figure, target)

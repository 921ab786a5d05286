"""Curves of schedules: as numbers, as a plot in lines of text, and as a picture."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.plotting import new_figure, save_figure, style_axes

_DOTS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))  # bits of a braille character, by column, from the bottom


def rates(schedule: Any, steps: Sequence[int]) -> np.ndarray:
    """Learning rates of a schedule at each of `steps`.

    Args:
        schedule: a Keras schedule, or a constant rate.
        steps: optimizer steps, from 0.

    Returns:
        (len(steps),) float32.

    Example:
        >>> import kerastricks
        >>> schedule = kerastricks.schedules.get("linear(0.1, warmup=0.2)", total_steps=100)
        >>> kerastricks.schedules.rates(schedule, [20, 60]).round(3).tolist()
        [0.10000000149011612, 0.05000000074505806]
    """
    if not callable(schedule):
        return np.full(len(steps), schedule, "float32")
    # One by one: Keras's own schedules with a warm-up take only scalars.
    return np.array([keras.ops.convert_to_numpy(schedule(int(step))) for step in steps], "float32")


def text_plot(values: Sequence[float], width: int = 60, height: int = 8, braille: bool = True) -> list[str]:
    """Plots non-negative values as lines of text, from 0 at the bottom to the highest at the top.

    Args:
        values: evenly spaced.
        width: characters of a line, without the axis.
        height: number of lines.
        braille: whether a character has two times four dots; otherwise each column has one star.

    Returns:
        The lines, from the top.

    Example:
        >>> import kerastricks
        >>> print("\\n".join(kerastricks.schedules.text_plot([0, 1, 2, 3], width=4, height=4, braille=False)))
           *
          *
         *
        *
    """
    columns, levels = (2 * width, 4 * height) if braille else (width, height)
    heights = _levels(values, columns, levels)
    cells = [[0] * width for _ in range(height)]
    before = heights[0]
    for column, level in enumerate(heights):
        # A jump is drawn as a line.
        low, high = sorted((level, before if abs(before - level) > 1 and braille else level))
        for each in range(low, high + 1):
            line, dot = divmod(each, 4) if braille else (each, 0)
            character = column // 2 if braille else column
            cells[height - 1 - line][character] |= _DOTS[column % 2][dot] if braille else 1
        before = level
    signs = (lambda cell: chr(0x2800 + cell)) if braille else (lambda cell: " *"[cell])
    return ["".join(map(signs, line)).rstrip("\u2800 ") for line in cells]


def _levels(values: Sequence[float], columns: int, levels: int) -> list[int]:
    """Level of the value nearest to each column."""
    top = max(*values, 0.0) or 1.0
    last = len(values) - 1
    chosen = (values[round(column * last / max(columns - 1, 1))] for column in range(columns))
    return [min(max(round(value / top * (levels - 1)), 0), levels - 1) for value in chosen]


def plot_schedules(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], target: Path) -> None:
    """Plots each curve in a panel of its own.

    Args:
        curves: steps and rates, by title.
        target: path of the PNG.
    """
    columns = min(len(curves), 3)
    rows = math.ceil(len(curves) / columns)
    figure = new_figure(7.0, 4.0) if len(curves) == 1 else new_figure(3.9 * columns, 2.3 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (title, (steps, rates)) in zip(grid.flat, curves.items(), strict=False):
        axes.plot(steps, rates, color="#1f77b4", lw=1.6)
        axes.set_ylim(0, (max(rates) or 1.0) * 1.08)
        axes.set_xlim(0, max(steps[-1], 1))
        axes.set_title(
            "\n".join(textwrap.wrap(title, 70 if len(curves) == 1 else 44)),
            fontsize=11 if len(curves) == 1 else 9,
            loc="left",
            family="monospace",
        )
        style_axes(axes)
        axes.tick_params(labelsize=9 if len(curves) == 1 else 7)
    for axes in grid[-1]:
        axes.set_xlabel("step", fontsize=9)
    for line in grid:
        line[0].set_ylabel("learning rate", fontsize=9)
    for axes in grid.flat[len(curves) :]:
        axes.set_axis_off()
    save_figure(figure, target)

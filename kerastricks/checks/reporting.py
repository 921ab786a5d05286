"""The plots of the reports, without pyplot and its global state.

A table as plain text.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastricks.errors import UsageError
from kerastricks.plotting import new_figure, save_figure, style_axes

if TYPE_CHECKING:
    from kerastricks.checks.signal_check import SignalReport

_BLUE, _ORANGE, _GREY = "#1f77b4", "#e07b28", "0.65"


def draw_signal(report: "SignalReport", target: Path) -> None:
    """Draws variance above and gradient below, by layer, on log scales."""
    rows = report.rows
    places = np.arange(len(rows))
    kernels = np.array([row.kind == "kernel" for row in rows])
    figure = new_figure(float(np.clip(2.5 + 0.17 * len(rows), 7, 26)), 7.5)
    upper, lower = figure.subplots(2, 1, sharex=True)
    variance = np.array([row.variance for row in rows])
    gradient = np.array([row.gradient for row in rows])
    weights = np.array([np.nan if row.kernel_gradient is None else row.kernel_gradient for row in rows])

    style: dict[str, Any] = {"marker": "o", "ms": 3.5, "lw": 1.2}
    for values, mask, color, label in (
        (variance, kernels, _BLUE, "output of a kernel"),
        (variance, ~kernels, _ORANGE, "output of an activation"),
    ):
        _line(upper, places, values, mask, color=color, label=label, **style)
    _line(lower, places, gradient, kernels, color=_BLUE, label="at the output of a kernel", **style)
    _line(lower, places, gradient, ~kernels, color=_ORANGE, label="at the output of an activation", **style)
    _line(lower, places, weights, kernels, color="0.45", label="of the kernel itself", **(style | {"ls": ":"}))
    for axes, label in ((upper, "variance of the signal"), (lower, "mean square of the gradient")):
        _log_scale(axes)
        axes.set_ylabel(label)
        style_axes(axes)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False)
    # Of a long model the layers with a kernel are named, or every second or third of them.
    named = places if len(rows) <= 24 else places[kernels] if kernels.any() else places
    named = named[:: -(-len(named) // 90)]
    lower.set_xticks(named, [rows[i].layer for i in named], rotation=90 if len(rows) > 6 else 0, fontsize=8)
    lower.set_xlim(-0.6, len(rows) - 0.4)
    figure.suptitle(f"{report.model}: signal and gradient on {report.images:,} images")
    _save(figure, target)


def draw_units(title: str, names: list[str], bars: dict[str, list[float]], label: str, target: Path) -> None:
    """Draws shares as bars, a row per layer from top to bottom."""
    figure = new_figure(8, float(np.clip(1.6 + 0.26 * len(names), 2.6, 60)))
    axes = figure.subplots()
    places = np.arange(len(names))
    height = 0.8 / len(bars)
    for number, (name, shares) in enumerate(bars.items()):
        offset = (number - (len(bars) - 1) / 2) * height
        axes.barh(places + offset, shares, height, color=(_BLUE, _ORANGE, _GREY)[number], label=name)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel(label)
    style_axes(axes, grid="x")
    axes.set_axisbelow(True)
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
    figure.suptitle(title)
    _save(figure, target)


def _line(axes: Any, places: np.ndarray, values: np.ndarray, mask: np.ndarray, **style: Any) -> None:
    """Leaves out what a log scale cannot show: zeros, NaN, infinity."""
    shown = mask & np.isfinite(values) & (values > 0)
    if shown.any():
        axes.plot(places[shown], values[shown], **style)


def _log_scale(axes: Any) -> None:
    shown = np.concatenate([line.get_ydata() for line in axes.get_lines()] or [np.empty(0)])
    if not len(shown):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "exactly 0, or not finite, everywhere", ha="center", transform=axes.transAxes)
        return
    axes.set_yscale("log")
    # At least two decades, or noise looks like a trend.
    middle = np.sqrt(shown.min() * shown.max())
    axes.set_ylim(min(shown.min() / 2, middle / 10), max(shown.max() * 2, middle * 10))


def _save(figure: Any, target: Path) -> None:
    if target.suffix.lower() != ".png":
        raise UsageError(f"path must end in .png. Received: {target}")
    save_figure(figure, target, dpi=110)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Columns two spaces apart; the first `left` are flush left, the others flush right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    )


def number(value: float | None, digits: int = 3) -> str:
    """A number in a few characters, "-" for None."""
    return "-" if value is None else f"{value:.{digits}g}"


def finite(value: float | None) -> float | None:
    """None for what JSON has no word for."""
    return None if value is None or not math.isfinite(value) else float(value)

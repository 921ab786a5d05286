"""comparison.png: every seed a point, every difference an interval."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastricks.plotting import new_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SEED, _BASELINE = "0.72", "0.25"
_COLOURS = {"better": "#1a7f37", "worse": "#c0392b", "cannot tell": "#1f77b4", "same": "#1f77b4"}
_LABELS = {"better": "better", "worse": "worse", "cannot tell": "the data cannot tell", "same": "the data cannot tell"}

Values = Callable[[str, str], list[float]]


def plot_comparison(title: str, rows: Sequence[dict[str, Any]], values: Values, target: Path) -> None:
    """Plots a panel for log-loss and one for accuracy, a line per arm.

    A grey point is a seed, the mark is their mean. The bar is the 95 % interval of the difference to the baseline, laid
    on the baseline's mean: where it does not reach the vertical line, the difference stands out, before the correction
    for the number of arms that the colour takes into account. An arm far away from the better ones is a triangle at
    the edge with its value.

    Args:
        title: above it.
        rows: one per arm, the baseline first; see `Comparison.rows`.
        values: one measure of an arm, seed by seed, for the arm and the name of the measure.
        target: the PNG.
    """
    names = [textwrap.fill(row["arm"], 32) for row in rows]
    lines = max(name.count("\n") + 1 for name in names)
    figure = new_figure(10, 2.1 + max(0.42, 0.18 * lines) * len(rows), wspace=0.06)
    left, right = figure.subplots(1, 2, sharey=True)
    _plot_panel(left, rows, values, "log_loss", 1.0)
    _plot_panel(right, rows, values, "accuracy", 100.0)
    left.set_yticks(range(len(rows)), names)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel("test log-loss (less is better)")
    right.set_xlabel("test accuracy, % (more is better)")
    baseline = textwrap.shorten(rows[0]["arm"], 60, placeholder=" ...")
    bars = f"bars: 95 % interval of the difference to {baseline}, paired by seed"
    figure.legend(
        handles=_legend(left, rows),
        title=bars if rows[0]["runs"] > 1 else None,
        title_fontsize=9,
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(title, fontsize=11)
    save_figure(figure, target)


def _plot_panel(axes: "Axes", rows: Sequence[dict[str, Any]], values: Values, measure: str, factor: float) -> None:
    seeds = [np.array(values(row["arm"], measure)) * factor for row in rows]
    means = np.array([scores.mean() for scores in seeds])
    bars = [_interval(row, measure, means[0], factor) for row in rows]
    low, high = _limits(seeds, means, bars, less_is_better=measure == "log_loss")
    # At least what the table can show, or equal arms have a scale of rounding errors.
    widen = max(0.0, 0.01 * factor - (high - low)) / 2
    low, high = low - widen, high + widen
    axes.axvline(means[0], color=_BASELINE, lw=0.8, ls=(0, (4, 3)), zorder=1)
    for index, (row, scores, mean, bar) in enumerate(zip(rows, seeds, means, bars, strict=True)):
        colour = _colour(row, measure)
        if not low <= mean <= high:
            edge = low if mean < low else high
            left = mean < low
            axes.plot(edge, index, marker="<" if left else ">", color=colour, ms=8, clip_on=False, zorder=4)
            axes.annotate(
                f"{mean:.3g}",
                (edge, index),
                (9 if left else -9, 0),
                textcoords="offset points",
                va="center",
                ha="left" if left else "right",
                fontsize=9,
                color=colour,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
                zorder=3,
            )
            continue
        shift = np.linspace(-0.13, 0.13, len(scores)) if len(scores) > 1 else [0.0]
        axes.plot(scores, index + np.asarray(shift), "o", color=_SEED, ms=4, zorder=2)
        if bar is not None:
            axes.plot(bar, (index, index), color=colour, lw=2.2, solid_capstyle="butt", zorder=3)
        axes.plot(mean, index, marker="D", color=colour, ms=6, markeredgecolor="white", zorder=4)
    axes.set_xlim(low, high)
    axes.locator_params(axis="x", nbins=5)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.tick_params(axis="y", length=0)
    style_axes(axes, grid="x", hidden=["top", "right", "left"])


def _interval(row: dict[str, Any], measure: str, origin: float, factor: float) -> tuple[float, float] | None:
    if row["difference"] is None or row["difference"][measure]["low"] is None:
        return None
    found = row["difference"][measure]
    return origin + found["low"] * factor, origin + found["high"] * factor


def _limits(seeds: list[np.ndarray], means: np.ndarray, bars: list, less_is_better: bool) -> tuple[float, float]:
    """Limits that include all arms except outliers that would shrink the better half to a dot."""
    order = np.argsort(means if less_is_better else -means)
    better = order[: max(2, -(-len(order) // 2))]
    seen = np.concatenate([seeds[arm] for arm in better])
    reach = 6 * max(float(np.ptp(seen)), 1e-6)
    shown = [arm for arm in range(len(means)) if abs(means[arm] - means[order[0]]) <= reach]
    values = np.concatenate([seeds[arm] for arm in shown])
    ends = [end for arm in shown if bars[arm] is not None for end in bars[arm]]
    low, high = float(values.min()), float(values.max())
    spread = max(high - low, 1e-6)
    # A wide interval may run out of the picture: its end would say little and hide the rest.
    low = max(min([low, *ends]), low - spread)
    high = min(max([high, *ends]), high + spread)
    margin = 0.08 * max(high - low, 1e-3)
    return low - margin, high + margin


def _colour(row: dict[str, Any], measure: str) -> str:
    return _BASELINE if row["difference"] is None else _COLOURS[row["difference"][measure]["verdict"]]


def _legend(axes: "Axes", rows: Sequence[dict[str, Any]]) -> list[Any]:
    (seed,) = axes.plot([], [], "o", color=_SEED, ms=4, label="a seed")
    (baseline,) = axes.plot([], [], "D", color=_BASELINE, ms=6, label="mean of the baseline")
    found = {row["difference"][measure]["verdict"] for row in rows[1:] for measure in ("log_loss", "accuracy")}
    marks = []
    for label, colour in {_LABELS[name]: _COLOURS[name] for name in _COLOURS if name in found}.items():
        (mark,) = axes.plot([], [], "D-", color=colour, ms=6, lw=2.2, label=label)
        marks.append(mark)
    return [seed, baseline, *marks]

"""The picture of a range test."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kerastricks.plotting import save_figure
from kerastricks.range_test.result import RangeTestResult

_CURVE, _INTERVAL, _SUGGESTION = "#1f77b4", "#2ca02c", "#d62728"
_MARKERS = {"steepest": "v", "valley": "D", "minimum_over_ten": "s"}


def draw_result(result: RangeTestResult, path: Path, title: str) -> Path:
    """Draws the sweeps faintly, their median and band, the interval, the suggestion and the marks of other rules.

    Args:
        result: of a range test.
        path: a .png, written under another name and renamed when it is whole.
        title: above it.
    """
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axes = figure.subplots()
    rates, median = result.rates, result.median
    shown = _shown(result)
    for number, sweep in enumerate(result.losses):
        axes.plot(
            rates, sweep, color="0.6", lw=0.6, alpha=0.55, label="batches of single sweeps" if number == 0 else None
        )
    axes.fill_between(rates[:shown], *result.band[:, :shown], color=_CURVE, alpha=0.2, lw=0)
    axes.plot(rates[:shown], median[:shown], color=_CURVE, lw=2, label="median, and band of the sweeps")
    if result.interval is not None and result.suggestion is not None:
        low, high = result.interval
        axes.axvspan(low, high, color=_INTERVAL, alpha=0.12, lw=0, label=f"interval {low:.2g} to {high:.2g}")
        text = f"suggestion {result.suggestion:.2g} (confidence {result.confidence:.0%})"
        axes.axvline(result.suggestion, color=_SUGGESTION, lw=1.6, label=text)
    for name, rate in result.others.items():
        if rates[0] <= rate <= rates[-1]:
            height = np.interp(np.log(rate), np.log(rates), median)
            axes.plot(
                rate, height, _MARKERS[name], color="0.2", ms=6, mfc="white", ls="none", label=f"{name} {rate:.2g}"
            )
    low, high = float(median[:shown].min()), float(median[:shown].max())
    room = max(high - low, 1e-3 * max(abs(high), 1.0))
    axes.set_ylim(low - 0.25 * room, high + 0.25 * room)
    axes.set_xscale("log")
    axes.set_xlim(rates[0], rates[-1])
    axes.set(xlabel="learning rate", ylabel="loss of the batch")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    heading = title if result.suggestion is not None else f"{title}: cannot tell, {result.reason.partition(':')[0]}"
    axes.set_title(heading)
    save_figure(figure, path)
    return path


def _shown(result: RangeTestResult) -> int:
    """Steps up to where most sweeps were stopped: what follows is no measurement."""
    running = np.isfinite(result.losses).mean(axis=0) >= 0.5
    return len(running) if running.all() else max(int(np.argmin(running)), 2)

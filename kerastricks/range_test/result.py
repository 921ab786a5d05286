"""The result of a range test: curves, interval and suggestion; as text, plain values and a plot."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastricks.plotting import new_figure, save_figure, style_axes

_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARKS = 50
_CURVE, _INTERVAL, _SUGGESTION = "#1f77b4", "#2ca02c", "#d62728"
_MARKERS = {"steepest": "v", "valley": "D", "minimum_over_ten": "s"}


@dataclass(frozen=True)
class RangeTestResult:
    """The curves of a range test and the rate they suggest; as text, plain values and a plot.

    Args:
        rates: (steps,): of the optimizer with the highest rate, where there are several.
        losses: (sweeps, steps): of each batch, before its update; NaN from where a sweep was stopped, infinite
            where that was because the loss was not finite.
        median: (steps,): of the sweeps, smoothed; finite, see `fill_stopped`.
        band: (2, steps): lowest and highest of the smoothed sweeps.
        interval: rates between which the loss is near its lowest: those worth searching; None without a suggestion.
        suggestion: the rate, None if it cannot be told.
        spread: the highest suggestion of a single sweep over the lowest; None without a suggestion, or with one sweep.
        confidence: the share of 200 bootstrap samples of the sweeps whose suggestion is within a factor of
            1.5 of this one; halved where the loss does not rise up to the highest rate, 0 without a suggestion.
        reason: a sentence: why no rate can be told ("flat: ...", "noisy: ...", "diverged at once: ..."), or a note on
            the suggestion; "" for none.
        others: the rates that the rules of other range tests read off the median, by name.

    Example:
        >>> import numpy
        >>> from kerastricks.range_test import judge_sweeps
        >>> rates = numpy.geomspace(1e-4, 10, 50)
        >>> bend = 2 - 1.5 / (1 + 0.02 / rates) + 9 / (1 + (2 / rates) ** 3)
        >>> result = judge_sweeps(rates, numpy.stack([bend, bend]))
        >>> 0.05 < result.suggestion < 1, result.spread
        (True, 1.0)
    """

    rates: np.ndarray
    losses: np.ndarray
    median: np.ndarray
    band: np.ndarray
    interval: tuple[float, float] | None
    suggestion: float | None
    spread: float | None
    confidence: float
    reason: str
    others: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinity are None."""
        return {
            "suggestion": self.suggestion,
            "interval": None if self.interval is None else list(self.interval),
            "spread": self.spread,
            "confidence": self.confidence,
            "reason": self.reason,
            "others": dict(self.others),
            "rates": self.rates.tolist(),
            "median": self.median.tolist(),
            "band": self.band.tolist(),
            "losses": [[float(loss) if np.isfinite(loss) else None for loss in sweep] for sweep in self.losses],
        }

    def plot(self, path: str | Path, title: str = "learning-rate range test") -> Path:
        """Plots the curves, the interval, the suggestion and the rates of other rules, as a PNG.

        Args:
            path: a .png; an existing one is replaced.
            title: above it.
        """
        return _plot_result(self, Path(path), title)

    if not TYPE_CHECKING:  # or a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            if name == "draw":
                raise AttributeError("RangeTestResult.draw is now RangeTestResult.plot")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __str__(self) -> str:
        sweeps = f"{len(self.losses)} {'sweep' if len(self.losses) == 1 else 'sweeps'}"
        lines = [f"loss at rates {self.rates[0]:.2g} to {self.rates[-1]:.2g}  {self._sparkline()}  ({sweeps})"]
        if self.suggestion is None:
            return "\n".join([*lines, f"cannot tell: {self.reason}"])
        assert self.interval is not None
        spread = "" if self.spread is None else f", single sweeps within a factor of {self.spread:.2g}"
        lines.append(f"learning rate {self.suggestion:.2g}  (confidence {self.confidence:.0%}{spread})")
        lines.append(f"interval      {self.interval[0]:.2g} to {self.interval[1]:.2g}")
        others = ", ".join(f"{name} {rate:.2g}" for name, rate in self.others.items())
        lines.append(f"other rules   {others}")
        return "\n".join([*lines, *([f"note          {self.reason}"] if self.reason else [])])

    def _sparkline(self) -> str:
        """Formats the median as at most fifty blocks."""
        parts = np.array_split(self.median, min(_SPARKS, len(self.median)))
        heights = np.array([part.mean() for part in parts])
        reach = heights.max() - heights.min()
        shares = np.zeros(len(heights)) if reach == 0 else (heights - heights.min()) / reach
        return "".join(_BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)] for share in shares)


def _plot_result(result: RangeTestResult, path: Path, title: str) -> Path:
    """Plots the sweeps faintly, their median and band, the interval, the suggestion and the marks of other rules."""
    figure = new_figure(10, 4.4)
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
    style_axes(axes)
    figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    heading = title if result.suggestion is not None else f"{title}: cannot tell, {result.reason.partition(':')[0]}"
    axes.set_title(heading)
    save_figure(figure, path)
    return path


def _shown(result: RangeTestResult) -> int:
    """The number of steps until most sweeps were stopped; the rest is no measurement."""
    running = np.isfinite(result.losses).mean(axis=0) >= 0.5
    return len(running) if running.all() else max(int(np.argmin(running)), 2)

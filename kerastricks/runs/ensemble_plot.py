"""ensemble.png: what an ensemble gains and what it costs."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kerastricks.plotting import save_figure

_MEMBER, _RESULT, _CANDIDATE, _NOISE = "#1f77b4", "#d62728", "0.35", "0.6"


def draw_ensemble(report: dict[str, Any], target: Path, title: str) -> None:
    """Draws quality against latency on the left, and what each way of combining gains on validation on the right.

    Args:
        report: of an ensemble, see docs/ensembles.md.
        target: the PNG.
        title: above it.
    """
    candidates = report["candidates"]
    figure = Figure(figsize=(10 if candidates else 6, 4), layout="constrained")
    left, right = figure.subplots(1, 2) if candidates else (figure.subplots(), None)
    _quality_against_latency(left, report)
    if right is not None:
        _gains(right, candidates, report["method"])
    for axes in filter(None, (left, right)):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    save_figure(figure, target)


def _quality_against_latency(axes: Any, report: dict[str, Any]) -> None:
    result = report["combined"]
    members = [member for member in report["members"] if member["test"] is not None]
    scores, own = ("test_at_own_temperature", " at their own temperatures") if report["temperatures"] else ("test", "")
    if members:
        axes.scatter(
            [member["latency_ms"] for member in members],
            [member[scores]["log_loss"] for member in members],
            color=_MEMBER,
            label=f"{len(members)} members{own}" if len(members) > 1 else members[0]["name"],
        )
    axes.scatter(result["latency_ms"], result["test"]["log_loss"], color=_RESULT, marker="D", label=report["method"])
    if members:
        mean = report["mean_member"][scores]["log_loss"]
        axes.axhline(mean, color=_NOISE, ls=":", lw=1, label="mean member")
    axes.set_xscale("log")
    _few_ticks(axes)
    axes.set(xlabel="latency of one image (ms)", ylabel="log-loss on test (nats)", title="quality against latency")
    axes.grid(alpha=0.25)
    latencies = [*(member["latency_ms"] for member in members), result["latency_ms"]]
    axes.set_xlim(min(latencies) / 1.7, max(latencies) * 1.7)  # members of one latency are not spread over the axis
    axes.margins(y=0.25)
    # Below: inside it would lie on a point sooner or later.
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize=8)


def _few_ticks(axes: Any) -> None:
    """A logarithmic axis over less than a decade would have none."""
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _gains(axes: Any, candidates: list[dict[str, Any]], chosen: str) -> None:
    for place, candidate in enumerate(reversed(candidates)):
        gain = candidate["gain"]
        colour = _RESULT if candidate["method"] == chosen else _CANDIDATE
        axes.plot([gain["low"], gain["high"]], [place, place], color=colour, lw=2)
        axes.plot(gain["value"], place, color=colour, marker="o")
    axes.set_yticks(range(len(candidates)), [candidate["method"] for candidate in reversed(candidates)])
    axes.axvline(0, color=_NOISE, ls=":", lw=1)
    axes.set(
        xlabel="log-loss below the best single member (nats)",
        title="gain on validation, out of fold (90 % interval)",
    )
    axes.grid(axis="x", alpha=0.25)

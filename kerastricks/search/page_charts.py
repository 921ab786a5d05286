"""Charts of a search: the objective against one value, learning curves, importance."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from kerastricks.charts.axes import ValueAxis, short_value
from kerastricks.charts.svg import FAILED, mark
from kerastricks.search.importance import Importance
from kerastricks.search.trial_table import TrialTable

_SIZE = (5.6, 3.7)


def plot_against(table: TrialTable, axis: ValueAxis) -> Figure:
    """Plots the objective against one value; beyond the limits is a triangle at the edge, a failure is a cross."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    limits = table.score_limits
    worse_is_up = table.direction == "min"
    strip = limits[0] - 0.09 * (limits[1] - limits[0])
    for index in [*table.unscored, *table.scored]:
        record = table.records[index]
        if axis.name not in record.values:
            continue
        place = axis.place(record.values[axis.name])
        look = {"gid": mark(index), "ls": "none", "clip_on": False}
        if index in table.unscored:
            axes.plot(place, strip, marker="x", color=FAILED, ms=5, **look)
            continue
        score = table.score(index)
        inside = min(max(score, limits[0]), limits[1])
        marker = "o" if inside == score else "^" if worse_is_up else "v"
        best = index == table.best
        axes.plot(
            place,
            inside,
            marker=marker,
            color=table.colours[index],
            ms=8 if best else 5.5,
            mec="white",
            mew=0.6,
            alpha=0.6 if record.status == "stopped" else 1.0,
            zorder=4 if best else 3,
            **look,
        )
    ticks = axis.ticks()
    long = sum(len(text) for _, text in ticks) > 45
    axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks], rotation=25 if long else 0)
    if long:
        axes.tick_params(axis="x", labelsize=8)
    axes.set_xlim(-0.04, 1.04)
    axes.set_xlabel(short_value(axis.name, 40) + (" (log scale)" if axis.kind == "log" else ""))
    _objective_axis(table, axes, limits if not table.unscored else (strip - 0.03 * (limits[1] - limits[0]), limits[1]))
    if table.unscored:
        axes.axhline(strip + 0.045 * (limits[1] - limits[0]), color="0.8", lw=0.8)
        axes.set_yticks([tick for tick in axes.get_yticks() if limits[0] <= tick <= limits[1]] if table.scored else [])
        axes.text(1.045, strip, "failed", color=FAILED, fontsize=8, va="center", clip_on=False)
        axes.set_ylim(strip - 0.03 * (limits[1] - limits[0]), limits[1])
    return figure


def plot_learning_curves(table: TrialTable) -> Figure:
    """Plots the objective after each epoch; a bar ends a trial that was stopped, a cross one that failed."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    curves = {index: table.curve(index) for index in [*table.unscored, *table.scored]}
    values = [value for _, objective in curves.values() for value in objective]
    for index, (epochs, objective) in curves.items():
        if not epochs:
            continue
        status = table.records[index].status
        best = index == table.best
        axes.plot(
            epochs,
            objective,
            color=table.colours[index],
            lw=2.4 if best else 1.1,
            ls=(0, (4, 2)) if status == "failed" else "-",
            alpha=1.0 if best else 0.75,
            marker={"stopped": "|", "failed": "x"}.get(status, "o" if len(epochs) == 1 else None),
            markevery=[-1],
            ms=5,
            gid=mark(index),
            zorder=3 if best else 2,
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    longest = max((epochs[-1] for epochs, _ in curves.values() if epochs), default=1.0)
    room = max(0.04 * longest, 0.5 if longest < 3 else 0.0)
    axes.set_xlim(1 - room, longest + room)
    if values:
        _objective_axis(table, axes, table.limits(values))
    return figure


def plot_importance(importance: Importance) -> Figure:
    """Plots a bar for each value, with its interval."""
    shown = importance.shares[:15]
    figure = Figure(figsize=(_SIZE[0], 0.9 + 0.27 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = range(len(shown))
    axes.barh(places, [share.share for share in shown], color="#91a7ff", height=0.62)
    axes.hlines(places, [share.low for share in shown], [share.high for share in shown], color="0.25", lw=1.2)
    axes.set_yticks(places, [short_value(share.name, 28) for share in shown])
    axes.tick_params(axis="y", length=0)
    for place, share in zip(places, shown, strict=True):
        axes.text(max(share.high, share.share) + 0.015, place, f"{share.share:.0%}", va="center", fontsize=8)
    axes.set_xlim(0, 1.08)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("variance explained by the value alone (line: 80 % of the trees)")
    axes.invert_yaxis()
    axes.yaxis.set_minor_locator(NullLocator())
    return figure


def _objective_axis(table: TrialTable, axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_ylim(*limits)
    axes.set_ylabel(short_value(table.objective, 30))
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)

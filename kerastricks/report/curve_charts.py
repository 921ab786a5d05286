"""Curves of runs over their epochs: loss, accuracy, learning rate; and calibration."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerastricks.charts.line_chart import Band, ChartLine, Span, legend, plot_lines
from kerastricks.charts.page import half_figure
from kerastricks.charts.svg import FAILED, LINES, NOTE, WARNING
from kerastricks.report.figures import RunFigures

_SEVERITIES = {"critical": FAILED, "warning": WARNING, "note": NOTE}
_TRAINING, _VALIDATION = LINES[0], LINES[1]
_FEW = 30  # epochs: each is a dot
_MOST_WINDOWS, _LEAST_BATCHES = 150, 5
_BATCHES = "#1f6fb4"


def curves(runs: Sequence[RunFigures], prefix: str) -> str:
    """The curves of one run, or of several in one figure each, with their legend.

    Args:
        runs: with epochs or without.
        prefix: makes ids of the charts different from those of others on the page.
    """
    titles = {index: run.name for index, run in enumerate(runs)}
    drawn: list[tuple[Figure, str, str]] = []
    spans = _spans(runs[0]) if len(runs) == 1 else []
    for name, label in (("loss", "loss (nats)"), ("accuracy", "accuracy")):
        lines = [line for index, run in enumerate(runs) for line in _pair(index, run, name, len(runs) > 1)]
        if lines:
            bands = [band for index, run in enumerate(runs) for band in _bands(index, run, len(runs))]
            of_loss = name == "loss"
            limits = (0, _loss_limit(lines)) if of_loss else (None, min(1.02, _highest(lines) + 0.02))
            figure = plot_lines(lines, label, bands=bands if of_loss else (), spans=spans, limits=limits)
            drawn.append((figure, f"{prefix}{name[0]}", _described(runs, name)))
    rates = [line for index, run in enumerate(runs) for line in _line(index, run, "learning_rate", LINES[index % 8])]
    if rates:
        values = [y for line in rates for y in line.y if y]
        log = bool(values) and max(values) > 30 * min(values)
        figure = plot_lines(rates, "learning rate", limits=(None if log else 0, None), log=log, spans=spans)
        drawn.append((figure, f"{prefix}r", "learning rate after each epoch"))
    if not drawn:
        return ""
    figures = "".join(half_figure(figure, one, label, titles) for figure, one, label in drawn)
    return f'{_legend(runs)}<div class="columns three">{figures}</div>'


def _legend(runs: Sequence[RunFigures]) -> str:
    if len(runs) == 1:
        band = ", the band: 90 % of the batches" if len(runs[0].batch_loss) else ""
        return legend([(f"training{band}", _TRAINING, False), ("validation", _VALIDATION, False)])
    named = legend([(run.name, LINES[index % 8], False) for index, run in enumerate(runs)], marked=True)
    return named + legend([("validation, and the learning rate", "#808080", False), ("training", "#808080", True)])


def _pair(index: int, run: RunFigures, name: str, several: bool) -> list[ChartLine]:
    own = LINES[index % len(LINES)]
    # The mean over an epoch belongs to its middle, a validation to its end.
    training = _line(index, run, name, own if several else _TRAINING, shift=-0.5, dashed=several)
    return training + _line(index, run, f"val_{name}", own if several else _VALIDATION)


def _line(
    index: int, run: RunFigures, name: str, colour: str, shift: float = 0.0, dashed: bool = False
) -> list[ChartLine]:
    points = [(line["epoch"] + shift, line[name]) for line in run.epochs if _is_number(line, name)]
    if not points:
        return []
    x, y = zip(*points, strict=True)
    return [ChartLine(index, x, y, colour, dashed, dots=len(points) < _FEW and not dashed)]


def _is_number(line: Mapping[str, Any], name: str) -> bool:
    return all(isinstance(line.get(one), int | float) and math.isfinite(line[one]) for one in ("epoch", name))


def _bands(index: int, run: RunFigures, runs: int) -> list[Band]:
    """Where nine tenths of the batches' losses lie, in windows of equally many."""
    losses = run.batch_loss[np.isfinite(run.batch_loss)]
    last = next((line for line in reversed(run.epochs) if _is_number(line, "step") and line["step"]), None)
    windows = min(_MOST_WINDOWS, len(losses) // _LEAST_BATCHES)
    if last is None or windows < 2 or runs > 3:
        return []
    parts = np.array_split(losses, windows)
    ends = np.cumsum([len(part) for part in parts])
    middles = (ends - np.array([len(part) for part in parts]) / 2) * last["epoch"] / last["step"]
    low, high = ([float(np.quantile(part, share)) for part in parts] for share in (0.05, 0.95))
    return [Band(index, middles.tolist(), low, high, _BATCHES if runs == 1 else LINES[index % len(LINES)])]


def _loss_limit(lines: Sequence[ChartLine]) -> float:
    """Above all losses but outliers of the first epochs, which would flatten the rest."""
    values = np.array([y for line in lines for y in line.y], "float64")
    quarter, three_quarters = np.quantile(values, [0.25, 0.75])
    fence = three_quarters + 4 * (three_quarters - quarter)
    inside = values[values <= fence] if len(values) > 8 else values
    return 1.12 * float(inside.max()) or 1.0


def _highest(lines: Sequence[ChartLine]) -> float:
    return max(y for line in lines for y in line.y if y is not None)


def _described(runs: Sequence[RunFigures], name: str) -> str:
    """The curve in words: the last values."""
    parts = []
    for run in runs:
        last = [
            f"{label} {line[key]:.4g}"
            for label, key in (("training", name), ("validation", f"val_{name}"))
            for line in list(run.epochs)[-1:]
            if _is_number(line, key)
        ]
        parts.append(f"{run.name}: after {len(run.epochs)} epochs {', '.join(last)}")
    return f"{name} by epoch. " + "; ".join(parts)


def _spans(run: RunFigures) -> list[Span]:
    """A finding's number over its epochs; not over all of them, and not where all is as it should be."""
    last = max((line["epoch"] for line in run.epochs if _is_number(line, "epoch")), default=math.inf)
    return [
        Span(float(one.span[0]), float(one.span[1]), _SEVERITIES[one.severity], str(number))
        for number, one in enumerate(run.findings, start=1)
        if one.span is not None
        and one.severity != "good"
        and all(math.isfinite(end) for end in one.span)
        and not (one.span[0] <= 0 and one.span[1] >= last)
    ]


def calibration_chart(runs: Sequence[RunFigures], prefix: str) -> str:
    """Accuracy against confidence, and the line on which they are equal; "" where no run has predictions."""
    known = [(index, run.calibration) for index, run in enumerate(runs) if run.calibration is not None]
    if not known:
        return ""
    ideal = ChartLine(len(runs), (0, 1), (0, 1), "#999999", dashed=True)
    lines = [
        ChartLine(
            index,
            one.confidence,
            one.accuracy,
            LINES[index % len(LINES)],
            weights=[images / sum(one.images) for images in one.images],
        )
        for index, one in known
    ]
    figure = plot_lines(
        [ideal, *lines], "share that is right", x_label="largest probability", limits=(0, 1.02), whole_x=False
    )
    errors = ", ".join(f"{runs[index].name} {one.error:.3f}" for index, one in known)
    titles = {index: run.name for index, run in enumerate(runs)} | {len(runs): "perfectly calibrated"}
    return half_figure(
        figure, f"{prefix}k", f"accuracy against confidence; expected calibration error {errors}", titles
    )

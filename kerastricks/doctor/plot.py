"""The picture of a diagnosis: the curves, what each finding rests on, and the findings in words."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastricks.charts.svg import FAILED, GOOD, LINES, NOTE, WARNING
from kerastricks.plotting import new_figure, save_figure, style_axes

if TYPE_CHECKING:
    from kerastricks.doctor.diagnosis import Diagnosis
    from kerastricks.doctor.training_log import TrainingLog

_COLOURS = {"critical": FAILED, "warning": WARNING, "note": NOTE, "good": GOOD}
_MOST_POINTS = 2000


def plot_diagnosis(diagnosis: "Diagnosis", target: Path) -> None:
    """Write the picture of a diagnosis.

    Args:
        diagnosis: of `diagnose`.
        target: the PNG.

    Raises:
        WriteError: where it cannot be written.
    """
    log = diagnosis.log
    panels = [name for name in ("accuracy", "learning_rate") if _any(log, name) or _any(log, f"val_{name}")]
    lines = [line for number, one in enumerate(diagnosis.findings, 1) for line in _in_words(number, one)]
    height = 3.2 + 0.19 * len(lines)
    figure = new_figure(5 + 3.2 * len(panels), height)
    top, bottom = figure.subfigures(2, 1, height_ratios=[3.2, 0.19 * len(lines)])
    axes = top.subplots(1, 1 + len(panels), squeeze=False, width_ratios=[5, *[3.2] * len(panels)])[0]
    _loss(axes[0], diagnosis)
    for one, name in zip(axes[1:], panels, strict=True):
        _panel(one, log, name)
    top.suptitle(log.name, fontsize=11)
    for place, (text, colour) in enumerate(lines):
        bottom.text(0.015, 1 - (place + 0.7) / len(lines), text, fontsize=8.5, color=colour, va="center")
    save_figure(figure, target)


def _in_words(number: int, one: Any) -> list[tuple[str, str]]:
    """Lines of a finding, and their colours."""
    found = [(f"{number}  {one.title}: {one.evidence}", _COLOURS[one.severity])]
    if one.advice:
        found.append((f"     next: {one.advice}", "#444444"))
    return [(line, colour) for text, colour in found for line in textwrap.wrap(text, 165, subsequent_indent="     ")]


def _loss(axes: Any, diagnosis: "Diagnosis") -> None:
    log = diagnosis.log
    per_epoch = log.steps_per_epoch
    if len(log.step_loss):
        at = log.steps / per_epoch if per_epoch else log.steps
        stride = max(len(at) // _MOST_POINTS, 1)
        axes.plot(at[::stride], log.step_loss[::stride], color=LINES[0], alpha=0.25, linewidth=0.7, label="batches")
    for name, colour, label in (("loss", LINES[0], "training"), ("val_loss", LINES[1], "validation")):
        values = getattr(log, name)
        there = np.isfinite(values)
        if there.any():
            shift = 0.5 if name == "loss" and len(log.epochs) > 1 else 0.0  # a mean belongs to the middle of its epoch
            axes.plot(log.epochs[there] - shift, values[there], color=colour, label=label, marker=_marker(there))
    axes.set_ylim(*_limits(log))
    for number, one in enumerate(diagnosis.findings, 1):
        if one.span is not None and one.severity != "good":
            colour = _COLOURS[one.severity]
            axes.axvspan(*one.span, color=colour, alpha=0.10, linewidth=0)
            height = 0.97 - 0.07 * (number - 1)
            axes.text(one.span[0], height, f" {number}", color=colour, transform=axes.get_xaxis_transform(), va="top")
    _finish(axes, "loss (nats)", "epochs" if len(log.epochs) or per_epoch else "steps")
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def _panel(axes: Any, log: "TrainingLog", name: str) -> None:
    for key, colour in ((name, LINES[0]), (f"val_{name}", LINES[1])):
        values = getattr(log, key, np.empty(0))
        there = np.isfinite(values)
        if there.any():
            axes.plot(log.epochs[there], values[there], color=colour, marker=_marker(there))
    if name == "learning_rate":
        rates = log.learning_rate[np.isfinite(log.learning_rate)]
        if rates.min() > 0 and rates.max() > 30 * rates.min():
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    _finish(axes, name.replace("_", " "), "epochs")


def _finish(axes: Any, label: str, below: str) -> None:
    style_axes(axes)
    axes.set_ylabel(label)
    axes.set_xlabel(below)


def _marker(there: np.ndarray) -> str:
    return "o" if there.sum() < 3 else ""


def _any(log: "TrainingLog", name: str) -> bool:
    return bool(np.isfinite(getattr(log, name, np.empty(0))).any())


def _limits(log: "TrainingLog") -> tuple[float, float]:
    """Zero, and a little more than all losses but outliers, which would flatten the rest."""
    values = np.concatenate([log.loss, log.val_loss, log.step_loss])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, [0.25, 0.75])
    inside = values[values <= high + 4 * (high - low) + 1e-9]
    return min(0.0, float(inside.min())), 1.1 * float(inside.max()) or 1.0

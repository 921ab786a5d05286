"""finetune.png: what each level's features are worth, and what the trainings made of them."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerastricks.finetuning.report import Report
from kerastricks.metrics.bootstrap import bootstrap_mean
from kerastricks.plotting import save_figure

_PLANS = {"linear": "0.35", "earlier": "0.65", "small": "#d62728", "last": "#1f77b4", "all": "#2ca02c"}
_LEVEL, _PIXELS, _STAGE, _PROBE = "#1f77b4", "0.7", "#d62728", "0.35"


def draw_report(report: Report, target: Path, title: str) -> None:
    """Draws the probes of pixels and levels on the left, and what training reached on the right.

    Where the plan was chosen: validation accuracy of each short training, and of what went on, against the seconds that
    it took; else after each stage of the plan that was named.

    Args:
        report: of a fine-tuning.
        target: the PNG.
        title: above it.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    measured = report.measurement
    scores = [measured.pixels, *measured.levels]
    names = ["pixels", *(_short(level.layer) for level in measured.levels)]
    estimates = [score.probe.accuracy for score in scores]
    values = [estimate.value for estimate in estimates]
    spread = [
        [estimate.value - estimate.low for estimate in estimates],
        [estimate.high - estimate.value for estimate in estimates],
    ]
    colours = [_PIXELS] + [_LEVEL] * len(measured.levels)
    left.bar(range(len(values)), values, color=colours, yerr=spread, capsize=3, ecolor="0.3", width=0.7)
    left.set_xticks(range(len(names)), names, rotation=30, ha="right")
    left.set(ylabel="validation accuracy", title="linear probe of each level (90 % interval)")
    left.set_ylim(0, 1.02)

    if report.tried:
        _draw_tried(right, report)
    else:
        _draw_stages(right, report)
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    save_figure(figure, target)


def _draw_tried(axes: Axes, report: Report) -> None:
    """Each plan a line from its short training to what it reached with the rest; probes are levels."""
    low = 1.0
    for result in report.tried:
        accuracy = bootstrap_mean(result.correct)
        low = min(low, accuracy.low)
        colour, kept = _PLANS[result.name], result.name == report.choice.plan
        if result.rung == 0:
            axes.axhline(result.accuracy, color=colour, ls="--", lw=2 if kept else 1, label=result.name)
            continue
        so_far = [one for one in report.tried if one.name == result.name and one.rung <= result.rung]
        seconds = [sum(one.seconds for one in so_far[: place + 1]) for place in range(len(so_far))]
        spread = [[accuracy.value - accuracy.low], [accuracy.high - accuracy.value]]
        axes.errorbar(seconds[-1:], [accuracy.value], yerr=spread, color=colour, capsize=3, lw=1, fmt="o")
        if result.rung == 1:
            axes.plot([], [], color=colour, marker="o", label=result.name)
        else:
            axes.plot(seconds, [one.accuracy for one in so_far], color=colour, lw=2 if kept else 1)
    budget = "" if report.budget is None else f", budget {report.budget / 60:g} minutes"
    axes.set(xlabel="seconds of training", ylabel="validation accuracy")
    axes.set_title(f"kept: {report.kept}{budget}")
    axes.set_xlim(left=0)
    axes.set_ylim(max(low - 0.05, 0), 1.02)
    axes.legend(frameon=False, loc="lower right")


def _draw_stages(axes: Axes, report: Report) -> None:
    """Validation accuracy after the head and the training, beside the probe's."""
    probe = report.measurement.top.probe.accuracy
    axes.axhspan(probe.low, probe.high, color=_PROBE, alpha=0.12, lw=0)
    axes.axhline(probe.value, color=_PROBE, ls="--", lw=1, label="linear probe, top features")
    accuracies = [stage.validation_accuracy for stage in report.stages]
    axes.plot(range(len(accuracies)), accuracies, color=_STAGE, marker="o", label="after each stage")
    for place, accuracy in enumerate(accuracies):
        axes.annotate(f"{accuracy:.1%}", (place, accuracy), xytext=(0, 8), textcoords="offset points", ha="center")
    axes.set_xticks(range(len(accuracies)), [stage.name for stage in report.stages], rotation=15, ha="right")
    axes.set_xlim(-0.5, max(len(accuracies) - 0.5, 0.6))
    low, high = min([probe.low, *accuracies]), max([probe.high, *accuracies])
    room = max(high - low, 0.04)
    axes.set_ylim(low - 0.5 * room, high + 0.25 * room)
    axes.set_title(f"plan: {report.choice.plan}" + (", the probe was kept" if report.fell_back else ""))
    axes.legend(frameon=False, loc="lower right")


def _short(layer: str) -> str:
    """ "stage2_block1_activation1" is "stage2_block1"."""
    head, _, tail = layer.rpartition("_")
    return head if head and tail.startswith(("activation", "norm", "add")) else layer

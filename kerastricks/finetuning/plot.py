"""finetune.png: what each level's features are worth, and what the stages made of them."""

from pathlib import Path

from matplotlib.figure import Figure

from kerastricks.finetuning.report import Report
from kerastricks.plotting import save_figure

_LEVEL, _PIXELS, _STAGE, _PROBE = "#1f77b4", "0.7", "#d62728", "0.35"


def draw_report(report: Report, target: Path, title: str) -> None:
    """Draws the probes of pixels and levels on the left, validation accuracy after each stage on the right.

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

    probe = measured.top.probe.accuracy
    right.axhspan(probe.low, probe.high, color=_PROBE, alpha=0.12, lw=0)
    right.axhline(probe.value, color=_PROBE, ls="--", lw=1, label="linear probe, top features")
    accuracies = [stage.validation_accuracy for stage in report.stages]
    right.plot(range(len(accuracies)), accuracies, color=_STAGE, marker="o", label="after each stage")
    for place, accuracy in enumerate(accuracies):
        right.annotate(f"{accuracy:.1%}", (place, accuracy), xytext=(0, 8), textcoords="offset points", ha="center")
    right.set_xticks(range(len(accuracies)), [stage.name for stage in report.stages], rotation=15, ha="right")
    right.set_xlim(-0.5, max(len(accuracies) - 0.5, 0.6))
    low, high = min([probe.low, *accuracies]), max([probe.high, *accuracies])
    room = max(high - low, 0.04)
    right.set_ylim(low - 0.5 * room, high + 0.25 * room)
    right.set_title(f"plan: {report.choice.plan}" + (", the probe was kept" if report.fell_back else ""))
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    save_figure(figure, target)


def _short(layer: str) -> str:
    """ "stage2_block1_activation1" is "stage2_block1"."""
    head, _, tail = layer.rpartition("_")
    return head if head and tail.startswith(("activation", "norm", "add")) else layer

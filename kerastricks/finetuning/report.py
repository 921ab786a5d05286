"""The report of a fine-tuning: measurement, choice and results, as finetune.json and finetune.png."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastricks.finetuning.choice import Choice
from kerastricks.finetuning.measurement import Measurement
from kerastricks.finetuning.rungs import Result
from kerastricks.metrics.bootstrap import bootstrap_mean
from kerastricks.plotting import new_figure, save_figure, style_axes
from kerastricks.progress import minutes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class StageReport:
    """One stage.

    Args:
        name: what was trained.
        epochs: passes over the training images, at most; 0 for a head on features.
        seconds: of these, validation included.
        parameters: weights that learned.
        validation_accuracy: of the weights it ended in.
        best_epoch: when these were reached; 0 where they are those it began with.
        validation_balanced_accuracy: of the same weights; None where epochs are compared by plain accuracy.
    """

    name: str
    epochs: int
    seconds: float
    parameters: int
    validation_accuracy: float
    best_epoch: int = 0
    validation_balanced_accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For finetune.json, without a balanced accuracy that is None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Report:
    """A whole fine-tuning.

    Args:
        backbone: its name.
        weights: where they are from.
        measurement: of the data.
        choice: the strategy.
        stages: of the strategy that was carried out.
        kept: the strategy whose network was kept; "probe" where the linear probe was better.
        validation_accuracy: of the model that was kept.
        probe_accuracy: of the linear probe on the top features, on all of validation.
        compared: what was trained and not kept: name to validation accuracy and stages.
        logs: the strategy whose stages are in the logs.
        budget: seconds of measuring and training together; None where epochs decided.
        spent: of these, as the clock gave them.
        tried: probes and trainings that were compared, in order; none where a strategy was asked for.
        verdicts: by strategy, what became of its short training, or why it had none.
        balanced_accuracy: on validation, of the model that was kept, where epochs were compared by it; else None.
        probe_balanced_accuracy: of the linear probe, where that was so.
        parts: the names of the well-filled and of the rare classes, where they were trained on one after the other.
    """

    backbone: str
    weights: str
    measurement: Measurement
    choice: Choice
    stages: tuple[StageReport, ...]
    kept: str
    validation_accuracy: float
    probe_accuracy: float
    compared: dict[str, tuple[float, tuple[StageReport, ...]]]
    logs: str
    budget: float | None = None
    spent: float = 0.0
    tried: tuple[Result, ...] = ()
    verdicts: dict[str, str] = field(default_factory=dict)
    balanced_accuracy: float | None = None
    probe_balanced_accuracy: float | None = None
    parts: dict[str, tuple[str, ...]] | None = None

    @property
    def fell_back(self) -> bool:
        """Whether the linear probe was kept as the best result."""
        return self.kept == "probe"

    def to_json(self) -> dict[str, Any]:
        """For finetune.json."""
        return {
            "backbone": self.backbone,
            "weights": self.weights,
            "plan": self.choice.to_json(),
            "measurement": self.measurement.to_json(),
            "stages": [stage.to_json() for stage in self.stages],
            "kept": self.kept,
            "validation_accuracy": self.validation_accuracy,
            "linear_probe_validation_accuracy": self.probe_accuracy,
            "fell_back_to_linear_probe": self.fell_back,
            "compared": {
                name: {"validation_accuracy": accuracy, "stages": [stage.to_json() for stage in stages]}
                for name, (accuracy, stages) in self.compared.items()
            },
            "budget_seconds": self.budget,
            "tried": [_tried_json(result) for result in self.tried],
            "verdicts": self.verdicts,
            "seconds": round(self.spent, 1),
            **{name: value for name, value in self._by_class().items() if value is not None},
        }

    def _by_class(self) -> dict[str, Any]:
        return {
            "validation_balanced_accuracy": self.balanced_accuracy,
            "linear_probe_validation_balanced_accuracy": self.probe_balanced_accuracy,
            "parts": self.parts,
        }


def _tried_json(result: Result) -> dict[str, Any]:
    accuracy = bootstrap_mean(result.correct)
    length = result.length
    return {
        "plan": result.name,
        "rung": ("probe", "short training", "rest of the budget")[result.rung],
        "validation_accuracy": [round(value, 4) for value in (accuracy.value, accuracy.low, accuracy.high)],
        "validation_log_loss": round(result.loss, 4),
        "images_compared": len(result.correct),
        "seconds": round(result.seconds, 1),
        "epochs": length.epochs if length else 0,
        "steps": length.steps if length else 0,
        "images": length.images if length else 0,
    }


_PLANS = {"linear": "0.35", "earlier": "0.65", "small": "#d62728", "last": "#1f77b4", "all": "#2ca02c"}
_LEVEL, _PIXELS, _STAGE, _PROBE = "#1f77b4", "0.7", "#d62728", "0.35"


def plot_report(report: Report, target: Path, title: str) -> None:
    """Plots the probes of pixels and levels on the left, and the accuracy after training on the right.

    Where the plan was chosen: validation accuracy of each short training, and of what went on, against the seconds that
    it took; else after each stage of the plan that was named.

    Args:
        report: of a fine-tuning.
        target: the PNG.
        title: above it.
    """
    figure = new_figure(10, 4)
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
        _plot_tried(right, report)
    else:
        _plot_stages(right, report)
    for axes in (left, right):
        style_axes(axes, grid="y")
    figure.suptitle(title)
    save_figure(figure, target)


def _plot_tried(axes: "Axes", report: Report) -> None:
    """Plots each plan as a line from its short to its long training, and probes as levels."""
    low = 1.0
    for result in report.tried:
        accuracy = bootstrap_mean(result.correct)
        low = min(low, accuracy.low)
        colour, kept = _PLANS[result.name], result.name == report.choice.strategy
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
    budget = "" if report.budget is None else f", budget {minutes(report.budget)}"
    axes.set(xlabel="seconds of training", ylabel="validation accuracy")
    axes.set_title(f"kept: {report.kept}{budget}")
    axes.set_xlim(left=0)
    axes.set_ylim(max(low - 0.05, 0), 1.02)
    axes.legend(frameon=False, loc="lower right")


def _plot_stages(axes: "Axes", report: Report) -> None:
    """Plots validation accuracy after the head and after training, with the probe's; balanced where that decides."""
    probe = report.measurement.top.probe.accuracy
    accuracies = [stage.validation_accuracy for stage in report.stages]
    low, high = probe.low, probe.high
    if report.probe_balanced_accuracy is not None:
        low = high = report.probe_balanced_accuracy
        axes.axhline(low, color=_PROBE, ls="--", lw=1, label="linear probe, top features")
        axes.plot(range(len(accuracies)), accuracies, color=_STAGE, lw=1, ls=":", label="accuracy")
        low, high = min([low, *accuracies]), max([high, *accuracies])
        balanced = [stage.validation_balanced_accuracy for stage in report.stages]
        accuracies = [value for value in balanced if value is not None]
        axes.set_ylabel("balanced validation accuracy")
    else:
        axes.axhspan(low, high, color=_PROBE, alpha=0.12, lw=0)
        axes.axhline(probe.value, color=_PROBE, ls="--", lw=1, label="linear probe, top features")
    axes.plot(range(len(accuracies)), accuracies, color=_STAGE, marker="o", label="after each stage")
    for place, accuracy in enumerate(accuracies):
        axes.annotate(f"{accuracy:.1%}", (place, accuracy), xytext=(0, 8), textcoords="offset points", ha="center")
    axes.set_xticks(range(len(report.stages)), [stage.name for stage in report.stages], rotation=15, ha="right")
    axes.set_xlim(-0.5, max(len(accuracies) - 0.5, 0.6))
    low, high = min([low, *accuracies]), max([high, *accuracies])
    room = max(high - low, 0.04)
    axes.set_ylim(low - 0.5 * room, high + 0.25 * room)
    axes.set_title(f"plan: {report.choice.strategy}" + (", the probe was kept" if report.fell_back else ""))
    axes.legend(frameon=False, loc="lower right")


def _short(layer: str) -> str:
    """ "stage2_block1_activation1" is "stage2_block1"."""
    head, _, tail = layer.rpartition("_")
    return head if head and tail.startswith(("activation", "norm", "add")) else layer

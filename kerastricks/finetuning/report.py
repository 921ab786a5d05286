"""What a fine-tuning measured, chose and reached: as text and as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any

from kerastricks.finetuning.choice import Choice
from kerastricks.finetuning.measurement import Measurement
from kerastricks.finetuning.rungs import Result
from kerastricks.metrics.bootstrap import bootstrap_mean


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
    """

    name: str
    epochs: int
    seconds: float
    parameters: int
    validation_accuracy: float
    best_epoch: int = 0


@dataclass(frozen=True)
class Report:
    """A whole fine-tuning.

    Args:
        backbone: its name.
        weights: where they are from.
        measurement: of the data.
        choice: the plan.
        stages: of the plan that was carried out.
        kept: the plan whose network was kept; "probe" where the linear probe was better.
        validation_accuracy: of the model that was kept.
        probe_accuracy: of the linear probe on the top features, on all of validation.
        compared: what was trained and not kept: name to validation accuracy and stages.
        logs: the plan whose stages are in the logs.
        budget: seconds of measuring and training together; None where epochs decided.
        spent: of these, as the clock gave them.
        tried: probes and trainings that were compared, in order; none where a plan was asked for.
        verdicts: by plan, what became of its short training, or why it had none.
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

    @property
    def fell_back(self) -> bool:
        """Whether the linear probe was kept because nothing was better."""
        return self.kept == "probe"

    def to_json(self) -> dict[str, Any]:
        """For finetune.json."""
        return {
            "backbone": self.backbone,
            "weights": self.weights,
            "plan": self.choice.to_json(),
            "measurement": self.measurement.to_json(),
            "stages": [asdict(stage) for stage in self.stages],
            "kept": self.kept,
            "validation_accuracy": self.validation_accuracy,
            "linear_probe_validation_accuracy": self.probe_accuracy,
            "fell_back_to_linear_probe": self.fell_back,
            "compared": {
                name: {"validation_accuracy": accuracy, "stages": [asdict(stage) for stage in stages]}
                for name, (accuracy, stages) in self.compared.items()
            },
            "budget_seconds": self.budget,
            "tried": [_tried_json(result) for result in self.tried],
            "verdicts": self.verdicts,
            "seconds": round(self.spent, 1),
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

"""The report of a fine-tuning in summary.json, as types; `kerastricks.finetuning.report` is what it is written from."""

from dataclasses import dataclass, field

from kerastricks.runs.json_record import JsonRecord

Interval = tuple[float, float, float]  # a value, and the lower and upper end of its 90 % confidence interval


@dataclass(frozen=True, kw_only=True)
class StrategyReport(JsonRecord):
    """The strategy of a fine-tuning, and what led to it.

    Args:
        strategy: that was carried out; `plan` in the JSON.
        given: whether it was asked for.
        table: the strategy that the table of amount and similarity names.
        data: "much" or "little".
        domain: "similar" or "different", compared with what the backbone learned from.
        reasons: a sentence each, with figures.
        would_change: what other figures would lead to.
    """

    strategy: str = field(metadata={"key": "plan"})
    given: bool
    table: str
    data: str
    domain: str
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LevelReport(JsonRecord):
    """Scores of the features of one layer; intervals are the value, its lower and its upper end.

    Args:
        layer: its name; "pixels" for the images themselves.
        features: how many an image has.
        probe_accuracy: of a linear probe on validation, with its 90 % interval.
        probe_log_loss: of that probe, in nats.
        centroid_accuracy: of the nearest class mean on validation, with its 90 % interval.
        logme: evidence of the training labels, with its 90 % interval; None where it was not computed.
    """

    layer: str
    features: int
    probe_accuracy: Interval
    probe_log_loss: float
    centroid_accuracy: Interval
    logme: Interval | None


@dataclass(frozen=True, kw_only=True)
class MeasurementReport(JsonRecord):
    """Measurement of a data set for a backbone, before anything is trained.

    Args:
        images_per_class: of the training split, by class.
        images_used: how many of each split.
        levels: from early to late.
        pixels: of the images themselves, made small.
        error_share: of a pixel probe's errors, which the top features take away.
        log_loss_share: of a pixel probe's log-loss, which the top features take away.
        seconds: that it took, features included.
    """

    images_per_class: dict[str, int]
    images_used: dict[str, int]
    levels: tuple[LevelReport, ...]
    pixels: LevelReport
    error_share: float
    log_loss_share: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainedStage(JsonRecord):
    """One stage of a training.

    Args:
        name: what was trained.
        epochs: passes over the training images, at most; 0 for a head on features.
        seconds: that it took, validation included.
        parameters: weights that learned.
        validation_accuracy: of the weights it ended in.
        best_epoch: when these were reached; 0 where they are those it began with.
        validation_balanced_accuracy: of the same weights, where epochs were compared by it; else None.
    """

    name: str
    epochs: int
    seconds: float
    parameters: int
    validation_accuracy: float
    best_epoch: int
    validation_balanced_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class ComparedReport(JsonRecord):
    """A strategy that was trained and not kept.

    Args:
        validation_accuracy: that it reached.
        stages: of its training.
    """

    validation_accuracy: float
    stages: tuple[TrainedStage, ...]


@dataclass(frozen=True, kw_only=True)
class TriedReport(JsonRecord):
    """A probe or training that was compared with others on validation.

    Args:
        strategy: its name; `plan` in the JSON.
        rung: "probe", "short training" or "rest of the budget".
        validation_accuracy: with its 90 % interval: the value, its lower and its upper end.
        validation_log_loss: in nats.
        images_compared: how many validation images.
        seconds: that it took.
        epochs: of its training; 0 for a probe.
        steps: of its training.
        images: training images of an epoch.
    """

    strategy: str = field(metadata={"key": "plan"})
    rung: str
    validation_accuracy: Interval
    validation_log_loss: float
    images_compared: int
    seconds: float
    epochs: int
    steps: int
    images: int


@dataclass(frozen=True, kw_only=True)
class FinetuningReport(JsonRecord):
    """A fine-tuning: what was measured, chosen, trained and kept.

    Early versions chose without short trainings: then `tried` and `verdicts` are None.

    Args:
        backbone: its name.
        weights: where they are from.
        choice: the strategy that was carried out, and why; `plan` in the JSON.
        measurement: of the data.
        stages: of that strategy.
        kept: the strategy whose network was kept; "probe" where the linear probe was better.
        validation_accuracy: of the model that was kept.
        linear_probe_validation_accuracy: of the linear probe on the top features.
        fell_back_to_linear_probe: whether that was kept because nothing was better.
        compared: by strategy, what was trained and not kept.
        budget_seconds: of measuring and training together; None where epochs decided.
        tried: probes and trainings in their order; none where a strategy was asked for.
        verdicts: by strategy, what became of its short training, or why it had none.
        seconds: of measuring and training, as the clock gave them.
        validation_balanced_accuracy: of the model that was kept, where epochs were compared by it; else None.
        linear_probe_validation_balanced_accuracy: of the linear probe, where that was so.
        parts: names of the "well_filled" and of the "rare" classes, where they were trained on one after the other.
    """

    backbone: str
    weights: str
    choice: StrategyReport = field(metadata={"key": "plan"})
    measurement: MeasurementReport
    stages: tuple[TrainedStage, ...]
    kept: str
    validation_accuracy: float
    linear_probe_validation_accuracy: float
    fell_back_to_linear_probe: bool
    compared: dict[str, ComparedReport]
    budget_seconds: float | None = None
    tried: tuple[TriedReport, ...] | None = None
    verdicts: dict[str, str] | None = None
    seconds: float
    validation_balanced_accuracy: float | None = None
    linear_probe_validation_balanced_accuracy: float | None = None
    parts: dict[str, tuple[str, ...]] | None = None

    def _left_out(self) -> set[str]:
        """The budget is written as null, except in a summary of before there were budgets."""
        return super()._left_out() - ({"budget_seconds"} if self.tried is not None else set())

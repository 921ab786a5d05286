"""The reports of an ensemble and of a distillation in summary.json, as types."""

from dataclasses import dataclass, field
from typing import Any

from kerastricks.metrics.bootstrap import Estimate
from kerastricks.runs.json_record import JsonRecord


@dataclass(frozen=True, kw_only=True)
class QualityReport(JsonRecord):
    """Scores of a network on the images of a split, by `kerastricks.metrics.quality`.

    Args:
        accuracy: share of the images whose most probable class is right.
        log_loss: in nats.
        calibration_error: mean distance between confidence and accuracy.
        brier: mean sum of squared errors over the classes.
    """

    accuracy: float
    log_loss: float
    calibration_error: float
    brier: float


@dataclass(frozen=True, kw_only=True)
class MemberScores(JsonRecord):
    """Mean scores of the members of an ensemble.

    Args:
        validation: on the images that decide.
        test: on the test images.
        test_at_own_temperature: there, each with a temperature of its own, fitted to validation.
    """

    validation: QualityReport
    test: QualityReport
    test_at_own_temperature: QualityReport


@dataclass(frozen=True, kw_only=True)
class MemberReport(JsonRecord):
    """A member of an ensemble; without scores where it gives features only.

    Args:
        name: that tells it from the others.
        path: of its `.keras` file.
        weight: in the ensemble; None where the method has none.
        temperature: in the ensemble; None where the method has none.
        validation: on the images that decide.
        test: on the test images.
        test_at_own_temperature: there, with a temperature fitted to validation.
        training_seconds: of its run; of one that kept several models, a share.
        latency_ms: of a batch of one image, median.
        images_per_second: in batches of 64, median.
        parameters: weights.
        megabytes: of the weights in memory.
    """

    name: str
    path: str
    weight: float | None
    temperature: float | None
    validation: QualityReport | None
    test: QualityReport | None
    test_at_own_temperature: QualityReport | None
    training_seconds: float
    latency_ms: float
    images_per_second: float
    parameters: int
    megabytes: float


@dataclass(frozen=True, kw_only=True)
class CombinedReport(JsonRecord):
    """The one model that an ensemble is.

    Args:
        test: on the test images.
        latency_ms: of a batch of one image, median.
        images_per_second: in batches of 64, median.
        parameters: weights.
        megabytes: of the weights in memory.
    """

    test: QualityReport
    latency_ms: float
    images_per_second: float
    parameters: int
    megabytes: float


@dataclass(frozen=True)
class EstimateReport(JsonRecord, Estimate):
    """A measured value with its 90 % confidence interval.

    Args:
        value: on the data itself.
        low: lower end of the interval.
        high: its upper end.
        standard_error: of the value.
    """


@dataclass(frozen=True)
class GainReport(JsonRecord, Estimate):
    """By how much a log-loss is lower, with its 90 % confidence interval over images.

    Args:
        value: in nats; above 0 is better.
        low: lower end of the interval.
        high: its upper end.
        standard_error: of the value.
        share: of the log-loss that it is compared with.
    """

    share: float = field(kw_only=True)


@dataclass(frozen=True, kw_only=True)
class CandidateReport(JsonRecord):
    """A combination that was tried, scored by out-of-fold predictions of the validation images.

    Args:
        method: how members are combined.
        scaling: where temperatures were found to help: "none", "after", "before" or "both".
        combination: that `kerastricks.ensemble.Combination.from_json` reads.
        calibration_error: mean distance between confidence and accuracy.
        log_loss: in nats.
        accuracy: share of the images whose most probable class is right.
        gain: log-loss of the best single member less that of this one; above 0 is better.
        accuracy_gain: accuracy of this one less that of the best single member.
    """

    method: str
    scaling: str
    combination: dict[str, Any]
    calibration_error: float
    log_loss: EstimateReport
    accuracy: EstimateReport
    gain: EstimateReport
    accuracy_gain: EstimateReport


@dataclass(frozen=True, kw_only=True)
class ChosenOn(JsonRecord):
    """Images that decided how members are combined.

    Args:
        data: name of the data.
        fingerprint: of the data.
        images: how many validation images.
    """

    data: str
    fingerprint: str
    images: int


@dataclass(frozen=True, kw_only=True)
class EnsembleReport(JsonRecord):
    """An ensemble: how its members became one model, and what that gains.

    What compares with members is None where none of them tells the classes apart by itself.

    Args:
        asked: the method that was asked for.
        method: that was taken.
        reason: for it, in a sentence or two.
        chosen_on: the images that decided.
        temperatures: whether temperatures were allowed; None in a summary of an early version, where they were.
        members: in their order.
        combined: the one model.
        mean_member: mean of the members' scores.
        best_member: name of the member with the lowest log-loss on validation.
        gain_over_mean: by how much the log-loss on test is below the members' mean.
        gain_over_best: by how much it is below that of the best member.
        disagreement: share of test images on which two members name different classes, mean over pairs.
        disagreements: the same of each pair.
        candidates: combinations that were compared.
        left_out: members that could not be opened, with the reason.
        unknown: what could not be known about the images a member was trained on.
    """

    asked: str
    method: str
    reason: str
    chosen_on: ChosenOn
    temperatures: bool | None = None
    members: tuple[MemberReport, ...]
    combined: CombinedReport
    mean_member: MemberScores | None
    best_member: str | None
    gain_over_mean: GainReport | None
    gain_over_best: GainReport | None
    disagreement: float | None
    disagreements: tuple[tuple[float, ...], ...] | None
    candidates: tuple[CandidateReport, ...]
    left_out: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def at_own_temperature(self) -> bool:
        """Whether gains are over members at their own temperature: what a temperature gains, combining does not."""
        return self.temperatures is not False


@dataclass(frozen=True, kw_only=True)
class NetworkScores(JsonRecord):
    """Scores of a network on the test images.

    Args:
        accuracy: share of the images whose most probable class is right.
        balanced_accuracy: mean recall of the classes with an image.
        log_loss: in nats.
    """

    accuracy: float
    balanced_accuracy: float
    log_loss: float


@dataclass(frozen=True, kw_only=True)
class DistillationReport(JsonRecord):
    """A distillation: the teacher, and both networks on the test images.

    Args:
        teacher: path of its `.keras` file.
        teacher_digest: fingerprint of that file.
        temperature: of the soft targets.
        hard_weight: of the labels in the loss.
        teacher_test: scores of the teacher.
        student_test: scores of the student.
        teacher_parameters: weights of the teacher.
        student_parameters: weights of the student.
    """

    teacher: str
    teacher_digest: str
    temperature: float
    hard_weight: float
    teacher_test: NetworkScores
    student_test: NetworkScores
    teacher_parameters: int
    student_parameters: int

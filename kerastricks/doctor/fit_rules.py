"""Fit and length of a training: overfitting, underfitting, stalled, stopped early, trained too long."""

import math
from collections.abc import Iterator

import numpy as np

from kerastricks.doctor.failure_rules import divided
from kerastricks.doctor.finding import Finding
from kerastricks.doctor.measures import Measures, smoothed_validation
from kerastricks.doctor.training_log import TrainingLog

RISE = 0.05  # of the averaged validation loss over its minimum: harm that overfitting has done
GAP = 0.5  # between validation and training loss, as a share of the validation loss
LEAST_EPOCHS = 4


def fit_findings(log: TrainingLog, found: Measures) -> Iterator[Finding]:
    """Findings about fit and length, each by itself; `diagnose` drops those that others explain."""
    if found.epochs < LEAST_EPOCHS:
        return
    for rule in (_overfitting, _underfitting, _validation_better, _plateau, _stopped_early, _trained_too_long):
        yield from rule(log, found)


def _overfitting(log: TrainingLog, found: Measures) -> Iterator[Finding]:
    if not log.has("val_loss"):
        return
    validation, at = _known(log, "val_loss")
    smooth = smoothed_validation(validation)
    best = int(smooth.argmin())
    falls = math.isnan(found.late_slope) or found.late_slope > -0.02
    if found.val_rise > max(RISE, 3 * found.val_noise) and falls:
        since = float(at[best])
        yield Finding(
            code="overfitting",
            evidence=f"the validation loss is lowest after epoch {since:g} ({smooth[best]:.3g}) and "
            f"{found.val_rise:.0%} higher at the end{_from_floor(log)}{_beside_training(log, found)}",
            advice=f"keep the weights of epoch {since:g} (early stopping on val_loss), then add augmentation, "
            "dropout 0.3 or weight decay 1e-3 before a smaller network",
            span=(since, float(at[-1])),
            change={"epochs": since},
            figures={"val_rise": found.val_rise, "best_epoch": since, "gap": found.gap},
            confidence=0.95,
        )
    elif found.gap > GAP and found.gap_growth > 0.1 and found.end < 0.6 and found.val_late_slope <= 0:
        yield Finding(
            code="overfitting",
            evidence=f"the training loss is {1 - found.gap:.0%} of the validation loss at the end, and the gap "
            "between them still grows, while the validation loss no longer falls",
            advice="add augmentation, dropout 0.3 or weight decay 1e-3, or more images",
            span=(float(at[best]), float(at[-1])),
            figures={"gap": found.gap, "gap_growth": found.gap_growth},
            confidence=0.9,
        )


def _underfitting(log: TrainingLog, found: Measures) -> Iterator[Finding]:
    if not log.has("val_loss") or not log.has("loss") or math.isnan(found.gap):
        return
    far = found.end > 0.25 and (math.isnan(found.accuracy) or found.accuracy < 0.9)
    flat = found.late_slope < 0.12
    if far and flat and found.gap < 0.12 and found.val_rise < RISE:
        accuracy = "" if math.isnan(found.accuracy) else f", training accuracy {found.accuracy:.1%}"
        yield Finding(
            code="underfitting",
            evidence=f"the training loss ends {beside_validation(found.gap)}{accuracy}, and it "
            f"fell by only {1 - math.exp(-max(found.late_slope, 0)):.0%} over the last third",
            advice="use a wider or deeper network (twice the width), or less augmentation and weight decay",
            span=_last(log, 1 / 3),
            change={"width_factor": 2.0},
            figures={"gap": found.gap, "late_slope": found.late_slope, "end": found.end},
            confidence=0.86,
        )


def _validation_better(log: TrainingLog, found: Measures) -> Iterator[Finding]:
    both = np.isfinite(log.loss) & np.isfinite(log.val_loss)
    if both.sum() < LEAST_EPOCHS:
        return
    below = log.val_loss[both] < log.loss[both]
    tail = below[len(below) // 2 :]
    if found.gap < -0.1 and tail.mean() > 0.8:
        yield Finding(
            code="validation_better",
            evidence=f"the training loss ends {beside_validation(found.gap)}, and was higher in "
            f"{tail.mean():.0%} of the later epochs",
            advice="expected with dropout and augmentation, which validation does not have. Without them: look for "
            "validation images among the training images, or an easier validation split: kerastricks data SOURCE",
            span=_last(log, 1 / 2),
            figures={"gap": found.gap},
            confidence=0.95,
        )


def _plateau(log: TrainingLog, found: Measures) -> Iterator[Finding]:
    lowered = found.rate_falls > 0.3
    held = abs(found.late_slope) < 0.02 and abs(found.val_late_slope) < 0.02
    if held and not lowered and found.end > 0.02 and found.epochs >= 8:
        advice, change = divided(log, 5)
        yield Finding(
            code="plateau",
            evidence="over the last third training and validation loss changed by less than 2 %, at a constant rate",
            advice=advice + ", or use a schedule: plateau(factor=5)",
            span=_last(log, 1 / 3),
            change=change,
            figures={"late_slope": found.late_slope, "val_late_slope": found.val_late_slope},
            confidence=0.8,
        )


def _stopped_early(log: TrainingLog, found: Measures) -> Iterator[Finding]:
    at_zero = found.rate_falls > 1.5  # a schedule that has come to its end has nothing left to give
    if found.val_late_slope > 0.1 and found.late_slope > 0.05 and found.val_best > 0.9 and not at_zero:
        more = math.ceil(found.epochs * 0.5)
        yield Finding(
            code="stopped_early",
            evidence=f"the validation loss fell by {1 - math.exp(-found.val_late_slope):.0%} over the last third and "
            "was lowest at the end",
            advice=f"train longer: {found.epochs:.0f} -> {found.epochs + more:.0f} epochs",
            span=_last(log, 1 / 3),
            change={"epochs": found.epochs + more},
            figures={"val_late_slope": found.val_late_slope, "late_slope": found.late_slope},
            confidence=0.85,
        )


def _trained_too_long(log: TrainingLog, found: Measures) -> Iterator[Finding]:
    if not log.has("val_loss") or found.epochs < 10:
        return
    validation, at = _known(log, "val_loss")
    smooth = smoothed_validation(validation)
    reached = int(np.argmax(smooth <= smooth.min() + 0.01 * (smooth[0] - smooth.min())))
    share = (reached + 1) / len(smooth)
    if share < 0.5 and abs(found.val_late_slope) < 0.02 and smooth[0] > 1.1 * smooth.min():
        epochs = float(at[reached])
        yield Finding(
            code="trained_too_long",
            evidence=f"99 % of what the validation loss fell was reached after epoch {epochs:g} of {at[-1]:g}",
            advice=f"train for about {epochs * 1.2:.0f} epochs, with a schedule that ends there",
            span=(epochs, float(at[-1])),
            change={"epochs": float(math.ceil(epochs * 1.2))},
            figures={"reached": share},
            confidence=0.9,
        )


def beside_validation(gap: float) -> str:
    """ "12% below validation", for a gap as a share of the validation loss."""
    return f"{abs(gap):.0%} {'below' if gap >= 0 else 'above'} validation"


def _from_floor(log: TrainingLog) -> str:
    return f", counted from {log.floor:.3g}, the least with smoothed labels" if log.floor else ""


def _beside_training(log: TrainingLog, found: Measures) -> str:
    if not log.has("loss"):
        return ""
    trend = "still fell" if found.late_slope > 0.02 else "stayed low"
    return f", while the training loss {trend}"


def _known(log: TrainingLog, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Finite values of an epoch's quantity, and the epochs they are of."""
    values = getattr(log, quantity)
    there = np.isfinite(values)
    return values[there], log.epochs[there]


def _last(log: TrainingLog, share: float) -> tuple[float, float] | None:
    if not len(log.epochs):
        return None
    first = min(int((1 - share) * len(log.epochs)), len(log.epochs) - 1)
    return float(log.epochs[first]), float(log.epochs[-1])

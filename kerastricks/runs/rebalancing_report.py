"""The report of a rebalanced run in summary.json, as types."""

from dataclasses import dataclass

import numpy as np

from kerastricks.runs.json_record import JsonRecord
from kerastricks.runs.reports import EstimateReport


@dataclass(frozen=True, kw_only=True)
class RebalancingScores(JsonRecord):
    """Scores of a network on the images of a split.

    Args:
        accuracy: share of the images whose most probable class is right.
        balanced_accuracy: mean recall of the classes with an image.
        macro_f1: mean over these classes of the harmonic mean of recall and precision.
        log_loss: in nats.
        images: how many.
        recall: by class; None for a class without an image.
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    images: int
    recall: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class RemedyReport(JsonRecord):
    """A remedy that was tried on validation images.

    Args:
        method: "unchanged", "logit_adjustment", "tau_norm", "retrain" or "thresholds".
        tau: None for a method without one.
        kept_share: share of the tuned offsets that is kept; None for a method without.
        validation: the metric on the images that chose tau and offsets.
        cross_fitted: the metric with each image predicted by what the other images chose.
        gain: of `cross_fitted` over the unchanged network.
    """

    method: str
    tau: float | None
    kept_share: float | None
    validation: float
    cross_fitted: float
    gain: EstimateReport


@dataclass(frozen=True, kw_only=True)
class RebalancingReport(JsonRecord):
    """A rebalanced run: which remedy was taken and why, and what it changes. Validation images alone decided.

    Args:
        run: folder of the run, which stays as it is.
        asked: the method that was asked for.
        method: that was taken; "unchanged" where none gains.
        metric: that decided: "balanced_accuracy", "macro_f1" or "accuracy".
        reason: for the method, in a sentence.
        tau: of the method; None for one without.
        offsets: added to the logits, by class; None for a method that changes the kernel.
        training_images: by class, which the prior is made of.
        few_validation_images: classes with fewer than five, and how many they have.
        candidates: remedies that were compared, the unchanged network first.
        left_out: methods that were not tried, with the reason.
        validation_before: scores of the run.
        validation_after: scores of the rebalanced network, on the images that chose it.
        test_before: scores of the run.
        test_after: scores of the rebalanced network.
    """

    run: str
    asked: str
    method: str
    metric: str
    reason: str
    tau: float | None
    offsets: dict[str, float] | None
    training_images: dict[str, int]
    few_validation_images: dict[str, int]
    candidates: tuple[RemedyReport, ...]
    left_out: tuple[str, ...]
    validation_before: RebalancingScores
    validation_after: RebalancingScores
    test_before: RebalancingScores
    test_after: RebalancingScores

    @property
    def largest_classes(self) -> list[str]:
        """The largest classes, which together have at least half of the training images."""
        names = sorted(self.training_images, key=lambda name: (-self.training_images[name], name))
        reached = np.cumsum([self.training_images[name] for name in names])
        return names[: 1 + int(np.searchsorted(reached, reached[-1] / 2))]

    def recall_of(self, names: list[str]) -> tuple[float, float] | None:
        """Mean recall of some classes on test, before and after; None where none of them has a test image."""
        before, after = self.test_before.recall, self.test_after.recall
        found = [(before[name], after[name]) for name in names]
        known = np.array([pair for pair in found if None not in pair], "float64")
        return (float(known[:, 0].mean()), float(known[:, 1].mean())) if len(known) else None

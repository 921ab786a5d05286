"""Scores of classifiers, their calibration, confidence intervals, and paired differences."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "Estimate",
    "PairedDifference",
    "bootstrap_mean",
    "confusion_matrix",
    "disagreement",
    "holm",
    "mean_disagreement",
    "paired_bootstrap",
    "paired_difference",
    "quality",
    "scores",
]

if TYPE_CHECKING:
    from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean, paired_bootstrap
    from kerastricks.metrics.calibration import disagreement, mean_disagreement, quality
    from kerastricks.metrics.classification import confusion_matrix, scores
    from kerastricks.metrics.paired_differences import PairedDifference, holm, paired_difference
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "Estimate": "bootstrap",
            "PairedDifference": "paired_differences",
            "bootstrap_mean": "bootstrap",
            "confusion_matrix": "classification",
            "disagreement": "calibration",
            "holm": "paired_differences",
            "mean_disagreement": "calibration",
            "paired_bootstrap": "bootstrap",
            "paired_difference": "paired_differences",
            "quality": "calibration",
            "scores": "classification",
        },
    )

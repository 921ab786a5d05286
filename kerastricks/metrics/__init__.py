"""Scores of classifiers, balance of their classes, calibration, confusions, intervals, and paired differences."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "BalancedAccuracy",
    "CalibrationCurve",
    "ConfusedPair",
    "Estimate",
    "MacroF1",
    "PairedDifference",
    "bootstrap_mean",
    "calibration_curve",
    "confused_pairs",
    "confusion_matrix",
    "confusion_order",
    "disagreement",
    "effective_classes",
    "effective_number",
    "holm",
    "imbalance_ratio",
    "mean_disagreement",
    "paired_bootstrap",
    "paired_difference",
    "quality",
    "scores",
    "shot_accuracy",
    "shot_classes",
]

if TYPE_CHECKING:
    from kerastricks.metrics.bootstrap import Estimate, bootstrap_mean, paired_bootstrap
    from kerastricks.metrics.calibration import (
        CalibrationCurve,
        calibration_curve,
        disagreement,
        mean_disagreement,
        quality,
    )
    from kerastricks.metrics.class_balance import (
        effective_classes,
        effective_number,
        imbalance_ratio,
        shot_accuracy,
        shot_classes,
    )
    from kerastricks.metrics.class_metrics import BalancedAccuracy, MacroF1
    from kerastricks.metrics.classification import confusion_matrix, scores
    from kerastricks.metrics.confusions import ConfusedPair, confused_pairs, confusion_order
    from kerastricks.metrics.paired_differences import PairedDifference, holm, paired_difference
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "BalancedAccuracy": "class_metrics",
            "CalibrationCurve": "calibration",
            "ConfusedPair": "confusions",
            "Estimate": "bootstrap",
            "MacroF1": "class_metrics",
            "PairedDifference": "paired_differences",
            "bootstrap_mean": "bootstrap",
            "calibration_curve": "calibration",
            "confused_pairs": "confusions",
            "confusion_matrix": "classification",
            "confusion_order": "confusions",
            "disagreement": "calibration",
            "effective_classes": "class_balance",
            "effective_number": "class_balance",
            "holm": "paired_differences",
            "imbalance_ratio": "class_balance",
            "mean_disagreement": "calibration",
            "paired_bootstrap": "bootstrap",
            "paired_difference": "paired_differences",
            "quality": "calibration",
            "scores": "classification",
            "shot_accuracy": "class_balance",
            "shot_classes": "class_balance",
        },
    )

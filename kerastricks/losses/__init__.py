"""Losses: label smoothing, distillation, and those for imbalanced classes."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "DistillationLoss",
    "FocalCrossentropy",
    "LDAMLoss",
    "LabelAwareSmoothing",
    "LabelSmoothingCrossentropy",
    "LogitAdjustedCrossentropy",
]

if TYPE_CHECKING:
    from kerastricks.losses.balanced_losses import (
        FocalCrossentropy,
        LabelAwareSmoothing,
        LDAMLoss,
        LogitAdjustedCrossentropy,
    )
    from kerastricks.losses.distillation_loss import DistillationLoss
    from kerastricks.losses.label_smoothing_crossentropy import LabelSmoothingCrossentropy
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "DistillationLoss": "distillation_loss",
            "FocalCrossentropy": "balanced_losses",
            "LDAMLoss": "balanced_losses",
            "LabelAwareSmoothing": "balanced_losses",
            "LabelSmoothingCrossentropy": "label_smoothing_crossentropy",
            "LogitAdjustedCrossentropy": "balanced_losses",
        },
    )

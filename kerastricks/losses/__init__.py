"""Losses, one per module."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["DistillationLoss", "LabelSmoothingCrossentropy"]

if TYPE_CHECKING:
    from kerastricks.losses.distillation_loss import DistillationLoss
    from kerastricks.losses.label_smoothing_crossentropy import LabelSmoothingCrossentropy
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"DistillationLoss": "distillation_loss", "LabelSmoothingCrossentropy": "label_smoothing_crossentropy"},
    )

"""Losses: one per file."""

from kerastricks.lazy import attach

__all__ = ["DistillationLoss", "LabelSmoothingCrossentropy"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {"DistillationLoss": "distillation_loss", "LabelSmoothingCrossentropy": "label_smoothing_crossentropy"},
)

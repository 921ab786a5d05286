"""Losses: one per file."""

from kerastricks.lazy import attach

__all__ = ["LabelSmoothingCrossentropy"]

__getattr__, __dir__, load_all = attach(__name__, {"LabelSmoothingCrossentropy": "label_smoothing_crossentropy"})

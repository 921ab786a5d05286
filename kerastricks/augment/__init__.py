"""Augmentation from a spec such as "flip | pad_crop(4) | fancy_pca(0.1)": ops, the planner that fuses them, a layer."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["OPS", "Augment"]

if TYPE_CHECKING:
    from kerastricks.augment.augment_layer import Augment
    from kerastricks.augment.ops import OPS
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"Augment": "augment_layer", "OPS": "ops"},
    )

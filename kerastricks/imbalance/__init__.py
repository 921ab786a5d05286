"""Remedies for imbalanced classes: sampling, class weights, losses, and which of them to take."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["Remedies", "class_weights", "effective_number"]

if TYPE_CHECKING:
    from kerastricks.imbalance.remedies import Remedies
    from kerastricks.imbalance.weighting import class_weights, effective_number
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"Remedies": "remedies", "class_weights": "weighting", "effective_number": "weighting"},
    )

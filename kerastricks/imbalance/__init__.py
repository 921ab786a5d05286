"""Remedies for imbalanced classes: in a training, and on a finished model."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "Advice",
    "Remedies",
    "TriedRemedy",
    "adjust_logits",
    "advise",
    "choose_remedy",
    "class_score",
    "class_weights",
    "find_remedies",
    "tau_normalize",
    "tune_offsets",
]

if TYPE_CHECKING:
    from kerastricks.imbalance.advice import Advice, advise
    from kerastricks.imbalance.post_hoc import adjust_logits, class_score, tau_normalize, tune_offsets
    from kerastricks.imbalance.post_hoc_choice import TriedRemedy, choose_remedy, find_remedies
    from kerastricks.imbalance.remedies import Remedies
    from kerastricks.imbalance.weighting import class_weights
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "Advice": "advice",
            "Remedies": "remedies",
            "TriedRemedy": "post_hoc_choice",
            "adjust_logits": "post_hoc",
            "advise": "advice",
            "choose_remedy": "post_hoc_choice",
            "class_score": "post_hoc",
            "class_weights": "weighting",
            "find_remedies": "post_hoc_choice",
            "tau_normalize": "post_hoc",
            "tune_offsets": "post_hoc",
        },
    )

"""Remedies for imbalanced classes: on a finished model, logit adjustment, tau-normalisation and tuned offsets."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "TriedRemedy",
    "adjust_logits",
    "choose_remedy",
    "class_score",
    "find_remedies",
    "tau_normalize",
    "tune_offsets",
]

if TYPE_CHECKING:
    from kerastricks.imbalance.post_hoc import adjust_logits, class_score, tau_normalize, tune_offsets
    from kerastricks.imbalance.post_hoc_choice import TriedRemedy, choose_remedy, find_remedies
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "TriedRemedy": "post_hoc_choice",
            "adjust_logits": "post_hoc",
            "choose_remedy": "post_hoc_choice",
            "class_score": "post_hoc",
            "find_remedies": "post_hoc_choice",
            "tau_normalize": "post_hoc",
            "tune_offsets": "post_hoc",
        },
    )

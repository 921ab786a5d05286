"""Side-by-side comparison: the same network, seeds and batches, one option differs."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["Comparison", "compare", "default_config"]

if TYPE_CHECKING:
    from kerastricks.comparison.experiment import compare
    from kerastricks.comparison.kinds import default_config
    from kerastricks.comparison.report import Comparison
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"Comparison": "report", "compare": "experiment", "default_config": "kinds"},
        former={
            "paired_difference": "is now kerastricks.metrics.paired_difference",
            "holm": "is now kerastricks.metrics.holm",
        },
    )

"""The learning-rate range test: on any compiled Keras model, or of a training as `kerastricks.training` does it."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "LRRangeTest",
    "RangeTestResult",
    "answer",
    "between_edges",
    "exponential_average",
    "fill_stopped",
    "for_training",
    "minimum_over_ten",
    "smooth",
    "steepest",
    "valley",
]

if TYPE_CHECKING:
    from kerastricks.range_test.for_trainings import for_training
    from kerastricks.range_test.lr_range_test import LRRangeTest
    from kerastricks.range_test.result import RangeTestResult
    from kerastricks.range_test.rules import (
        between_edges,
        exponential_average,
        fill_stopped,
        minimum_over_ten,
        smooth,
        steepest,
        valley,
    )
    from kerastricks.range_test.verdict import answer
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "LRRangeTest": "lr_range_test",
            "RangeTestResult": "result",
            "answer": "verdict",
            "between_edges": "rules",
            "exponential_average": "rules",
            "fill_stopped": "rules",
            "for_training": "for_trainings",
            "minimum_over_ten": "rules",
            "smooth": "rules",
            "steepest": "rules",
            "valley": "rules",
        },
    )

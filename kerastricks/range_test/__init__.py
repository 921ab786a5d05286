"""The learning-rate range test: of any compiled Keras model, or of a training by `kerastricks.training.fit`."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "LRRangeTest",
    "RangeTestResult",
    "between_edges",
    "exponential_average",
    "fill_stopped",
    "find_learning_rate",
    "judge_sweeps",
    "minimum_over_ten",
    "smooth",
    "steepest",
    "valley",
]

if TYPE_CHECKING:
    from kerastricks.range_test.for_trainings import find_learning_rate
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
    from kerastricks.range_test.verdict import judge_sweeps
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "LRRangeTest": "lr_range_test",
            "RangeTestResult": "result",
            "between_edges": "rules",
            "exponential_average": "rules",
            "fill_stopped": "rules",
            "find_learning_rate": "for_trainings",
            "judge_sweeps": "verdict",
            "minimum_over_ten": "rules",
            "smooth": "rules",
            "steepest": "rules",
            "valley": "rules",
        },
        former={
            "answer": "is now kerastricks.range_test.judge_sweeps",
            "for_training": "is now kerastricks.range_test.find_learning_rate",
        },
    )

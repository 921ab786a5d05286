"""The learning-rate range test: on any compiled Keras model, or of a training as `kerastricks.training` does it."""

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

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "LRRangeTest": "lr_range_test",
        "RangeTestResult": "result",
        "answer": "verdict",
        "between_edges": "rules",
        "exponential_average": "smooth",
        "fill_stopped": "smooth",
        "for_training": "for_trainings",
        "minimum_over_ten": "minimum_over_ten",
        "smooth": "smooth",
        "steepest": "steepest",
        "valley": "valley",
    },
)

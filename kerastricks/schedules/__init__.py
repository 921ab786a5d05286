"""Learning-rate schedules: one per file, a function of the step and the Keras schedule that calls it.

Cosine with warm-up is Keras's `CosineDecay`, polynomial its `PolynomialDecay`; `get` knows these too by name.
"""

from kerastricks.lazy import attach

__all__ = [
    "SCHEDULES",
    "CosineRestarts",
    "ExponentialCyclical",
    "InverseSqrt",
    "LinearWarmup",
    "OneCycle",
    "StepDecay",
    "Triangular",
    "Triangular2",
    "WarmupLinear",
    "batch_size_rule",
    "cosine_restarts",
    "cycle_ends",
    "exponential_cyclical",
    "get",
    "inverse_sqrt",
    "linear_warmup",
    "one_cycle",
    "rates",
    "step_decay",
    "text_plot",
    "triangular",
    "triangular2",
    "warmup_linear",
]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "SCHEDULES": "catalog",
        "CosineRestarts": "decay",
        "ExponentialCyclical": "exponential_cyclical",
        "InverseSqrt": "inverse_sqrt",
        "LinearWarmup": "warmup",
        "OneCycle": "one_cycle",
        "StepDecay": "step_decay",
        "Triangular": "cyclical",
        "Triangular2": "triangular2",
        "WarmupLinear": "linear_decay",
        "batch_size_rule": "linear_scaling",
        "cosine_restarts": "decay",
        "cycle_ends": "decay",
        "exponential_cyclical": "exponential_cyclical",
        "get": "get",
        "inverse_sqrt": "inverse_sqrt",
        "linear_warmup": "warmup",
        "one_cycle": "one_cycle",
        "rates": "rates",
        "step_decay": "step_decay",
        "text_plot": "curves",
        "triangular": "cyclical",
        "triangular2": "triangular2",
        "warmup_linear": "linear_decay",
    },
)

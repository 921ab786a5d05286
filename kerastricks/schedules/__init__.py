"""Learning-rate schedules: one per file, a function of the step and the Keras schedule that calls it.

Cosine with warm-up is Keras's `CosineDecay`, polynomial its `PolynomialDecay`; `get` knows these too by name.
"""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from kerastricks.schedules.curves import rates, text_plot
    from kerastricks.schedules.cyclical import (
        ExponentialCyclical,
        Triangular,
        Triangular2,
        exponential_cyclical,
        triangular,
        triangular2,
    )
    from kerastricks.schedules.decay import (
        CosineRestarts,
        InverseSqrt,
        StepDecay,
        cosine_restarts,
        cycle_ends,
        inverse_sqrt,
        step_decay,
    )
    from kerastricks.schedules.linear_decay import WarmupLinear, warmup_linear
    from kerastricks.schedules.linear_scaling import batch_size_rule
    from kerastricks.schedules.one_cycle import OneCycle, one_cycle
    from kerastricks.schedules.specs import SCHEDULES, get
    from kerastricks.schedules.warmup import LinearWarmup, linear_warmup
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "CosineRestarts": "decay",
            "ExponentialCyclical": "cyclical",
            "InverseSqrt": "decay",
            "LinearWarmup": "warmup",
            "OneCycle": "one_cycle",
            "SCHEDULES": "specs",
            "StepDecay": "decay",
            "Triangular": "cyclical",
            "Triangular2": "cyclical",
            "WarmupLinear": "linear_decay",
            "batch_size_rule": "linear_scaling",
            "cosine_restarts": "decay",
            "cycle_ends": "decay",
            "exponential_cyclical": "cyclical",
            "get": "specs",
            "inverse_sqrt": "decay",
            "linear_warmup": "warmup",
            "one_cycle": "one_cycle",
            "rates": "curves",
            "step_decay": "decay",
            "text_plot": "curves",
            "triangular": "cyclical",
            "triangular2": "cyclical",
            "warmup_linear": "linear_decay",
        },
    )

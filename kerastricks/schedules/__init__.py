"""Learning-rate schedules: one per file, a Keras schedule that takes one step or an array of them.

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
    "cycle_ends",
    "get",
    "rates",
    "text_plot",
]

if TYPE_CHECKING:
    from kerastricks.schedules.cosine_restarts import CosineRestarts, cycle_ends
    from kerastricks.schedules.curves import rates, text_plot
    from kerastricks.schedules.cyclical import ExponentialCyclical, Triangular, Triangular2
    from kerastricks.schedules.decay import InverseSqrt, StepDecay, WarmupLinear
    from kerastricks.schedules.linear_scaling import batch_size_rule
    from kerastricks.schedules.one_cycle import OneCycle
    from kerastricks.schedules.specs import SCHEDULES, get
    from kerastricks.schedules.warmup import LinearWarmup
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "CosineRestarts": "cosine_restarts",
            "ExponentialCyclical": "cyclical",
            "InverseSqrt": "decay",
            "LinearWarmup": "warmup",
            "OneCycle": "one_cycle",
            "SCHEDULES": "specs",
            "StepDecay": "decay",
            "Triangular": "cyclical",
            "Triangular2": "cyclical",
            "WarmupLinear": "decay",
            "batch_size_rule": "linear_scaling",
            "cycle_ends": "cosine_restarts",
            "get": "specs",
            "rates": "curves",
            "text_plot": "curves",
        },
        former={
            "cosine_restarts": "is now schedules.CosineRestarts",
            "exponential_cyclical": "is now schedules.ExponentialCyclical",
            "inverse_sqrt": "is now schedules.InverseSqrt",
            "linear_warmup": "is now schedules.LinearWarmup",
            "one_cycle": "is now schedules.OneCycle",
            "step_decay": "is now schedules.StepDecay",
            "triangular": "is now schedules.Triangular",
            "triangular2": "is now schedules.Triangular2",
            "warmup_linear": "is now schedules.WarmupLinear",
        },
    )

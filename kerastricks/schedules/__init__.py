"""Learning-rate schedules: Keras schedules that take one step or an array of steps, a family per module.

Cosine with warm-up is Keras's `CosineDecay`, polynomial its `PolynomialDecay`; `get` knows these too by name.
"""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "SCHEDULES",
    "CosineRestarts",
    "ExponentialCyclical",
    "InverseSqrt",
    "LinearDecay",
    "OneCycle",
    "StepDecay",
    "Triangular",
    "Triangular2",
    "Warmup",
    "batch_size_rule",
    "cycle_ends",
    "get",
    "rates",
    "text_plot",
]

if TYPE_CHECKING:
    from kerastricks.schedules.curves import rates, text_plot
    from kerastricks.schedules.cyclical import ExponentialCyclical, Triangular, Triangular2
    from kerastricks.schedules.decay import InverseSqrt, LinearDecay, StepDecay
    from kerastricks.schedules.linear_scaling import batch_size_rule
    from kerastricks.schedules.one_cycle_policy import OneCycle
    from kerastricks.schedules.specs import SCHEDULES, get
    from kerastricks.schedules.warm_restarts import CosineRestarts, cycle_ends
    from kerastricks.schedules.warmup import Warmup
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "CosineRestarts": "warm_restarts",
            "ExponentialCyclical": "cyclical",
            "InverseSqrt": "decay",
            "Warmup": "warmup",
            "OneCycle": "one_cycle_policy",
            "SCHEDULES": "specs",
            "StepDecay": "decay",
            "Triangular": "cyclical",
            "Triangular2": "cyclical",
            "LinearDecay": "decay",
            "batch_size_rule": "linear_scaling",
            "cycle_ends": "warm_restarts",
            "get": "specs",
            "rates": "curves",
            "text_plot": "curves",
        },
        former={
            "LinearWarmup": "is now kerastricks.schedules.Warmup",
            "WarmupLinear": "is now kerastricks.schedules.LinearDecay",
            "cosine_restarts": "is now kerastricks.schedules.CosineRestarts",
            "exponential_cyclical": "is now kerastricks.schedules.ExponentialCyclical",
            "inverse_sqrt": "is now kerastricks.schedules.InverseSqrt",
            "linear_warmup": "is now kerastricks.schedules.Warmup",
            "one_cycle": "is now kerastricks.schedules.OneCycle",
            "step_decay": "is now kerastricks.schedules.StepDecay",
            "triangular": "is now kerastricks.schedules.Triangular",
            "triangular2": "is now kerastricks.schedules.Triangular2",
            "warmup_linear": "is now kerastricks.schedules.LinearDecay",
        },
    )

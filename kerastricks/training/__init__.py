"""Training: `fit(model, data, config, callbacks=[...])`, interruptible at any moment."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["BudgetPlan", "Config", "Distillation", "SizeTiming", "fit", "plan_budget", "plan_training"]

if TYPE_CHECKING:
    from kerastricks.training.budget import BudgetPlan, plan_budget, plan_training
    from kerastricks.training.config import Config
    from kerastricks.training.distillation import Distillation
    from kerastricks.training.fitting import fit
    from kerastricks.training.size_timing import SizeTiming
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "BudgetPlan": "budget",
            "Config": "config",
            "Distillation": "distillation",
            "SizeTiming": "size_timing",
            "fit": "fitting",
            "plan_budget": "budget",
            "plan_training": "budget",
        },
    )

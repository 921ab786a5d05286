"""Training: `fit(model, data, config, callbacks=[...])`, interruptible at any moment."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["BudgetPlan", "Config", "Distillation", "SizeTiming", "fit", "plan_budget", "plan_training"]

if TYPE_CHECKING:
    from kerastricks.training.budget import BudgetPlan, SizeTiming, plan_budget, plan_training
    from kerastricks.training.config import Config
    from kerastricks.training.distillation import Distillation
    from kerastricks.training.fitting import fit
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "BudgetPlan": "budget",
            "Config": "config",
            "Distillation": "distillation",
            "SizeTiming": "budget",
            "fit": "fitting",
            "plan_budget": "budget",
            "plan_training": "budget",
        },
    )

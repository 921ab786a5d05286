"""Training: `fit(model, data, config, callbacks=[...])`, interruptible at any moment."""

from kerastricks.lazy import attach

__all__ = ["BudgetPlan", "Config", "Distillation", "SizeTiming", "fit", "plan_budget", "plan_training"]

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

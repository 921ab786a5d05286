"""Training: `fit(model, data, config, callbacks=[...])`, interruptible at any moment."""

from kerastricks.lazy import attach

__all__ = ["Config", "Distillation", "fit"]

__getattr__, __dir__, load_all = attach(__name__, {"Config": "config", "Distillation": "distillation", "fit": "fit"})

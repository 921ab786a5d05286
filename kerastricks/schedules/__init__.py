"""Learning-rate schedules that Keras lacks: one per file. Cosine with warm-up is Keras's `CosineDecay`."""

from kerastricks.lazy import attach

__all__ = ["WarmupLinear"]

__getattr__, __dir__, load_all = attach(__name__, {"WarmupLinear": "warmup_linear"})

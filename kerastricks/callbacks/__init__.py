"""Callbacks: one per file."""

from kerastricks.lazy import attach

__all__ = ["BatchLossLog", "BestWeights", "MetricsLog", "PlateauDecay", "ProgressLine"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "BatchLossLog": "batch_loss_log",
        "BestWeights": "best_weights",
        "MetricsLog": "metrics_log",
        "PlateauDecay": "plateau_decay",
        "ProgressLine": "progress_line",
    },
)

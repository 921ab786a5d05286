"""Callbacks: one per file."""

from kerastricks.lazy import attach

__all__ = ["BatchLossLog", "BestWeights", "MetricsLog", "ProgressLine"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "BatchLossLog": "batch_loss_log",
        "BestWeights": "best_weights",
        "MetricsLog": "metrics_log",
        "ProgressLine": "progress_line",
    },
)

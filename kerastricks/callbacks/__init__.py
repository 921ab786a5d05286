"""Callbacks: one per file."""

from kerastricks.lazy import attach

__all__ = [
    "BatchLossLog",
    "BestWeights",
    "KeepLast",
    "KeepSnapshots",
    "KeepTop",
    "MetricsLog",
    "PlateauDecay",
    "ProgressLine",
    "WeightAverage",
]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "BatchLossLog": "logs",
        "BestWeights": "best_weights",
        "KeepLast": "keep_last",
        "KeepSnapshots": "keep_snapshots",
        "KeepTop": "keep_top",
        "MetricsLog": "metrics_log",
        "PlateauDecay": "plateau_decay",
        "ProgressLine": "progress_line",
        "WeightAverage": "weights",
    },
)

"""Callbacks: logs, progress, live diagnosis, kept models, averages of weights, decay on a plateau."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "BatchLossLog",
    "BestWeights",
    "Doctor",
    "KeepLast",
    "KeepSnapshots",
    "KeepTop",
    "MetricsLog",
    "PlateauDecay",
    "ProgressLine",
    "WeightAverage",
]

if TYPE_CHECKING:
    from kerastricks.callbacks.doctor import Doctor
    from kerastricks.callbacks.keep import KeepLast, KeepSnapshots, KeepTop
    from kerastricks.callbacks.logs import BatchLossLog, MetricsLog
    from kerastricks.callbacks.plateau_decay import PlateauDecay
    from kerastricks.callbacks.progress_line import ProgressLine
    from kerastricks.callbacks.weights import BestWeights, WeightAverage
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "BatchLossLog": "logs",
            "BestWeights": "weights",
            "Doctor": "doctor",
            "KeepLast": "keep",
            "KeepSnapshots": "keep",
            "KeepTop": "keep",
            "MetricsLog": "logs",
            "PlateauDecay": "plateau_decay",
            "ProgressLine": "progress_line",
            "WeightAverage": "weights",
        },
    )

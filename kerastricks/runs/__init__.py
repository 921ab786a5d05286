"""Run folders: what every command that makes a model leaves behind, and how it is made and used again."""

from kerastricks.lazy import attach

__all__ = [
    "Evaluation",
    "RunFolder",
    "RunRecord",
    "Scores",
    "SeriesRecord",
    "Summary",
    "confusion_matrix",
    "distill",
    "ensemble",
    "evaluate",
    "finetune",
    "finish",
    "predict",
    "train",
    "train_series",
]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "Evaluation": "record",
        "RunFolder": "folder",
        "RunRecord": "record",
        "Scores": "record",
        "SeriesRecord": "record",
        "Summary": "record",
        "confusion_matrix": "scores",
        "distill": "distillation_run",
        "ensemble": "ensemble_run",
        "evaluate": "evaluate",
        "finetune": "finetuning_run",
        "finish": "finish",
        "predict": "prediction",
        "train": "training_run",
        "train_series": "series",
    },
)

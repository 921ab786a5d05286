"""Run folders: what every command that makes a model leaves behind, and how it is made and used again."""

from kerastricks.lazy import attach

__all__ = ["RunFolder", "confusion_matrix", "evaluate", "finish", "train"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "RunFolder": "folder",
        "confusion_matrix": "scores",
        "evaluate": "evaluate",
        "finish": "finishing",
        "train": "train",
    },
)

"""Run folders: what every command that makes a model leaves behind, and how it is made and used again."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["RunFolder", "evaluate", "finish", "train"]

if TYPE_CHECKING:
    from kerastricks.runs.evaluate import evaluate
    from kerastricks.runs.finishing import finish
    from kerastricks.runs.folder import RunFolder
    from kerastricks.runs.train import train
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"RunFolder": "folder", "evaluate": "evaluate", "finish": "finishing", "train": "train"},
        former={"confusion_matrix": "is now kerastricks.metrics.confusion_matrix"},
    )

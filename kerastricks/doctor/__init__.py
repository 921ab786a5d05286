"""Training logs of any writer, read into one form."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["TrainingLog", "read_log"]

if TYPE_CHECKING:
    from kerastricks.doctor.reading import read_log
    from kerastricks.doctor.training_log import TrainingLog
else:
    __getattr__, __dir__, load_all = attach(__name__, {"TrainingLog": "training_log", "read_log": "reading"})

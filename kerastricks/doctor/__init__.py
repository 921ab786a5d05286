"""Reads training logs of any writer, and says what they show and what to do next."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["Diagnosis", "Finding", "TrainingLog", "diagnose", "read_log"]

if TYPE_CHECKING:
    from kerastricks.doctor.diagnosis import Diagnosis, diagnose
    from kerastricks.doctor.finding import Finding
    from kerastricks.doctor.reading import read_log
    from kerastricks.doctor.training_log import TrainingLog
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "Diagnosis": "diagnosis",
            "Finding": "finding",
            "TrainingLog": "training_log",
            "diagnose": "diagnosis",
            "read_log": "reading",
        },
    )

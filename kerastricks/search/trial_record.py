"""The record of a finished trial, a line of trials.jsonl; ranking of trials."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kerastricks.errors import SearchError
from kerastricks.files import write_text

STATUSES = ("completed", "stopped", "failed")
FILE_NAME = "trials.jsonl"


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial.

    Args:
        trial: its name, "07".
        status: "completed", "stopped" (by early stopping or the budget) or "failed".
        score: the objective at its last epoch; None where there is none.
        objective: name of the metric, "val_loss".
        direction: "min" or "max".
        values: the active values of the space, by name.
        reason: of a stop or failure, one line.
        curve: for each epoch the logged metrics: epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate.
        seconds: wall-clock time, retries included.
        attempts: how often it was started.
        worker: name of the one that ran it.
        run: name of its run folder, where there is one.
    """

    trial: str
    status: str
    score: float | None
    objective: str
    direction: str
    values: dict[str, Any]
    reason: str | None = None
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    attempts: int = 1
    worker: str = "tuner0"
    run: str | None = None

    def line(self) -> str:
        """Formats a line of strict JSON, newline included; NaN and infinity are null."""
        return json.dumps(_finite(asdict(self)), allow_nan=False) + "\n"


def read_records(path: Path) -> list[TrialRecord]:
    """Reads the finished trials of a search in the order of the file; none where there is no file."""
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            try:
                records.append(TrialRecord(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise SearchError(
                    f"{path}, line {number}: must be a finished trial. Received: {line[:60]!r} ({error}). "
                    "It is not as it was written: restore the file, or delete the line"
                ) from None
    return records


def write_records(path: Path, records: list[TrialRecord]) -> None:
    """Writes the file atomically."""
    write_text(path, "".join(record.line() for record in records), durable=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def has_score(record: TrialRecord) -> bool:
    """Whether a trial reached a finite score and did not fail."""
    return record.status != "failed" and record.score is not None and math.isfinite(record.score)


def ranked(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Ranks the trials with a score, best first: completed before stopped ones, the earlier of two equals first."""

    def place(record: TrialRecord) -> tuple[bool, float]:
        assert record.score is not None
        return record.status != "completed", record.score if record.direction == "min" else -record.score

    return sorted((record for record in records if has_score(record)), key=place)


def counts(records: Iterable[TrialRecord]) -> dict[str, int]:
    """Counts completed, stopped and failed trials."""
    number = {"completed": 0, "stopped": 0, "failed": 0}
    for record in records:
        number[record.status] += 1
    return number

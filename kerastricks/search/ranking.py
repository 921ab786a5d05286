"""Which trial is the best."""

import math
from collections.abc import Iterable

from kerastricks.search.trial_record import TrialRecord


def has_score(record: TrialRecord) -> bool:
    """Whether it reached a score that is a number, and did not fail."""
    return record.status != "failed" and record.score is not None and math.isfinite(record.score)


def ranked(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Those with a score, best first: completed ones before stopped ones, the earlier of two equals first."""

    def place(record: TrialRecord) -> tuple[bool, float]:
        assert record.score is not None
        return record.status != "completed", record.score if record.direction == "min" else -record.score

    return sorted((record for record in records if has_score(record)), key=place)


def counts(records: Iterable[TrialRecord]) -> dict[str, int]:
    """How many were completed, stopped and failed."""
    number = {"completed": 0, "stopped": 0, "failed": 0}
    for record in records:
        number[record.status] += 1
    return number

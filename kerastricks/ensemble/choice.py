"""The combination that was chosen."""

from dataclasses import dataclass
from typing import Any

from kerastricks.ensemble.candidate import Candidate
from kerastricks.ensemble.combination import Combination


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, among what, and why.

    Args:
        method: the chosen candidate's.
        combination: the chosen candidate's.
        candidates: from simple to less so.
        best_member: name of the member that is the best single one on all images.
        reason: one or two sentences with the figures.
    """

    method: str
    combination: Combination
    candidates: list[Candidate]
    best_member: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "method": self.method,
            "combination": self.combination.to_json(),
            "best_member": self.best_member,
            "reason": self.reason,
            "candidates": [candidate.to_json() for candidate in self.candidates],
        }

"""Publication of a running search: trials.jsonl, search.html, pruned checkpoints."""

import time
from collections.abc import Sequence
from typing import Any

from kerastricks.search.folder import SearchFolder
from kerastricks.search.page import write_html
from kerastricks.search.plan import SearchPlan
from kerastricks.search.space.space import Space
from kerastricks.search.trial_record import TrialRecord, ranked, write_records

_PAGE_SHARE = 20  # a page that takes a second is written at most every twenty


class Publisher:
    """Writes trials.jsonl after each trial and search.html as often as that costs little; prunes checkpoints.

    Args:
        plan: of the search.
        folder: of the search.
    """

    def __init__(self, plan: SearchPlan, folder: SearchFolder) -> None:
        self.plan = plan
        self.folder = folder
        self._page_due = 0.0
        space = Space.from_dict(plan.space)
        self._log_names = [parameter.name for parameter in space if parameter.sampling == "log"]

    def write(self, records: Sequence[TrialRecord], last: bool = False) -> None:
        """Writes both files atomically.

        Args:
            records: of the finished trials.
            last: whether the search is over: the page is then written in any case.
        """
        write_records(self.folder.trials, list(records))
        started = time.monotonic()
        if last or started >= self._page_due:
            write_html(self.folder.page, records, f"Search: {self.plan.data['name']}", self._facts(), self._log_names)
            finished = time.monotonic()
            self._page_due = finished + _PAGE_SHARE * (finished - started)
        # Hyperband may resume any of them, until it is over.
        if last or self.plan.oracle != "hyperband":
            self._prune(records)

    def _prune(self, records: Sequence[TrialRecord]) -> None:
        kept = {record.trial for record in ranked(records)[: max(self.plan.top, 1)]}
        for record in records:
            if record.trial not in kept:
                for path in self.folder.path.glob(f"trial_{record.trial}/*/checkpoint.npz"):
                    path.unlink()

    def _facts(self) -> dict[str, Any]:
        plan = self.plan
        facts = {
            "data": f"{plan.data['name']}, {plan.data['images']['train']:,} training images",
            "model": plan.base["model"],
            "objective": f"{plan.objective} ({plan.direction})"
            + (f", mean of {plan.folds} folds" if plan.folds else ""),
            "oracle": f"{plan.oracle}, seed {plan.seed}",
            "epochs": plan.epochs,
        }
        found = plan.range_test
        if found is not None and found["suggestion"] is not None:
            low, high = found["interval"]
            facts["range test"] = f"rate {found['suggestion']:.3g}, interval {low:.3g} to {high:.3g}"
        return facts

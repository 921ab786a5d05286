"""Record of a finished search."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastricks.errors import EnsembleError
from kerastricks.search.folder import SearchFolder
from kerastricks.search.plan import SearchPlan
from kerastricks.search.trial_record import TrialRecord, counts, ranked, read_records

if TYPE_CHECKING:
    from kerastricks.runs.record import RunRecord
    from kerastricks.search.trial_table import TrialTable


@dataclass(frozen=True)
class SearchRecord:
    """A search and its finished trials.

    Args:
        path: of its folder.
        plan: what search.json says.
        trials: what trials.jsonl says, in its order.
    """

    path: Path
    plan: SearchPlan
    trials: tuple[TrialRecord, ...]

    @classmethod
    def open(cls, path: Path | str) -> "SearchRecord":
        """Reads the folder of a search, finished or not.

        Raises:
            SearchError: for a folder that no search wrote, or whose files are damaged.
        """
        folder = SearchFolder.open(Path(path).expanduser())
        return cls(folder.path, folder.read_plan(), tuple(read_records(folder.trials)))

    @property
    def best(self) -> list[TrialRecord]:
        """The trials with a score, best first."""
        return ranked(self.trials)

    @property
    def folder(self) -> SearchFolder:
        """Paths of its files."""
        return SearchFolder(self.path)

    @property
    def table(self) -> "TrialTable":
        """The trials as search.html shows them."""
        from kerastricks.search.trial_table import TrialTable

        return TrialTable(self.trials, self.plan.objective, self.plan.direction)

    @property
    def runs(self) -> "list[RunRecord]":
        """The run folders that were kept of the best trials, best first."""
        from kerastricks.runs.record import RunRecord

        return [RunRecord.open(path) for path in self.kept(None)]

    def kept(self, top: int | None) -> list[Path]:
        """The run folders of the best trials, best first.

        Args:
            top: of the best so many; None for all that were kept.
        """
        return kept_runs(self.folder, self.trials, top)

    def to_json(self) -> dict[str, Any]:
        """JSON of `kerastricks tune --json`, in plain values."""
        return {
            "folder": str(self.path),
            "objective": self.plan.objective,
            "direction": self.plan.direction,
            "trials": counts(self.trials),
            "best": [dataclasses.asdict(one) for one in self.best[: max(self.plan.top, 1)]],
            "page": str(self.folder.page),
        }


def kept_runs(folder: SearchFolder, trials: Sequence[TrialRecord], top: int | None) -> list[Path]:
    """The run folders of the best trials that were kept, best first.

    Args:
        folder: of the search.
        trials: the finished ones.
        top: of the best so many; None for all.
    """
    runs = [folder.runs / f"trial-{record.trial}" for record in ranked(trials)[:top]]
    # A search that went on may have better trials without a run than older ones with one.
    return [run for run in runs if (run / "summary.json").is_file()]


def members_of(path: Path, top: int | None) -> list[Path]:
    """The run folders of a search's best trials for an ensemble, two or more, best first.

    Args:
        path: of the search's folder.
        top: of the best so many; None for all that were kept.

    Raises:
        EnsembleError: where there are fewer.
    """
    if top is not None and top < 2:
        raise EnsembleError(f"--top must be 2 or more. Received: {top}")
    folder = SearchFolder.open(path)
    trials = read_records(folder.trials)
    best = ranked(trials)
    if top is not None and top > len(best):
        raise EnsembleError(f"--top must be {len(best)} or less, the search's trials with a score. Received: {top}")
    kept = kept_runs(folder, trials, top)
    if len(kept) < (top or 2):
        of = "run(s)" if top is None else f"of its best {top}"
        raise EnsembleError(
            f"{path}: the search kept {len(kept)} {of}: kerastricks tune --out {path} --resume --top {top or 5}"
        )
    return kept

"""Runs the trials of an oracle until it has no more."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerastricks.files import try_read_json
from kerastricks.search.folder import SearchFolder, write_json
from kerastricks.search.oracle.oracles import REPORT, shown_values
from kerastricks.search.plan import SearchPlan
from kerastricks.search.space.space import Space
from kerastricks.search.trials.processes import Processes
from kerastricks.training.config import Config

_IDLE_SECONDS = 0.5


class TrialRunner:
    """Takes trials from an oracle, this process's own or a chief's, and runs one after the other.

    Args:
        oracle: of the search, or a client of it.
        plan: of the search.
        folder: of the search.
        worker: name of this one.
        processes: where trials run.
        on_begin: called with the trial's name and its values.
        on_epoch: called with name, epoch, epochs and metrics.
        on_end: called with the name after the oracle was told.
    """

    def __init__(
        self,
        oracle: Any,
        plan: SearchPlan,
        folder: SearchFolder,
        worker: str,
        processes: Processes,
        on_begin: Callable[[str, dict[str, Any]], None],
        on_epoch: Callable[[str, int, int, dict[str, float]], None],
        on_end: Callable[[str], None],
    ) -> None:
        self.oracle = oracle
        self.plan = plan
        self.folder = folder
        self.worker = worker
        self.processes = processes
        self.on_begin = on_begin
        self.on_epoch = on_epoch
        self.on_end = on_end
        self._space = Space.from_dict(plan.space)

    def run(self) -> None:
        """Runs trials until the oracle has none left."""
        while True:
            trial = self.oracle.create_trial(self.worker)
            if trial.status == "STOPPED":
                return
            if trial.status == "IDLE":
                time.sleep(_IDLE_SECONDS)
                continue
            self._run(trial)
            self.on_end(trial.trial_id)

    def _run(self, trial: Any) -> None:
        values = trial.hyperparameters.values
        name, path = trial.trial_id, self.folder.trial(trial.trial_id)
        self.on_begin(name, shown_values(values))
        started = time.monotonic()
        stopped = late = False
        job = self._job(name, path, values)
        last: dict[str, Any] = {"event": "failed", "kind": "crash", "reason": "nothing was heard of it"}
        seen: list[dict[str, float]] = []
        more = len(self._finished_names()) + 1 < self.plan.trials
        for event in self.processes.run(job, path / "log.txt", warm_next=more):
            if event["event"] == "epoch":
                seen.append({"epoch": event["epoch"], **event["metrics"]})
                self.on_epoch(name, event["epoch"], event["epochs"], event["metrics"])
                told = self.oracle.update_trial(name, event["metrics"], step=event["epoch"])
                late = self.plan.ends_at is not None and time.time() > self.plan.ends_at
                stopped = told.status == "STOPPED" or late
                self.processes.answer(not stopped)
            last = event
        if last["event"] == "interrupted":
            raise KeyboardInterrupt
        before = try_read_json(path / REPORT) or {}
        report = {
            "status": "stopped" if stopped and last.get("status") == "paused" else "completed",
            "reason": None,
            "curve": last.get("curve", seen),
            "seconds": round(time.monotonic() - started + before.get("seconds", 0.0), 3),
            "worker": self.worker,
            "run": None,
        }
        trial.status = "COMPLETED"
        if report["status"] == "stopped":
            what = "stopped when the minutes were over," if late else "worse than the median"
            report["reason"] = f"{what} at {'fold' if self.plan.folds else 'epoch'} {len(seen)}"
        if last["event"] == "failed":
            report |= {"status": "failed", "reason": last["reason"]}
            # A divergence, and what a doctor ends, repeats itself; a crash may not.
            trial.status = "INVALID" if last["kind"] == "crash" else "FAILED"
        write_json(path / REPORT, report)
        self.oracle.end_trial(trial)

    def _job(self, name: str, path: Path, values: dict[str, Any]) -> dict[str, Any]:
        base = Config(**self.plan.base)
        config = dataclasses.replace(self._space.apply(shown_values(values), base), epochs=self.plan.epochs)
        source = values.get("tuner/trial_id")
        return {
            "job": "train",
            "config": config.as_dict(),
            "folder": str(path),
            "recipe": str(self.folder.recipe),
            "pixels": str(self.folder.pixels),
            "kept": self.plan.kept,
            "epochs": values.get("tuner/epochs", self.plan.epochs),
            "source": str(self.folder.trial(source)) if source is not None else None,
            "folds": self.plan.folds,
            "doctor": self.plan.doctor,
        }

    def _finished_names(self) -> list[str]:
        return [path.name for path in self.folder.path.glob(f"trial_*/{REPORT}")]

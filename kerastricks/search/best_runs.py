"""Run folders of the best trials of a search, as `kerastricks train` writes them."""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kerastricks.errors import RunFailedError, UsageError
from kerastricks.files import begun_folder, take_name, try_read_json
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.resumable import move_data
from kerastricks.search.folder import SearchFolder, write_json
from kerastricks.search.oracle.oracles import REPORT
from kerastricks.search.plan import SearchPlan
from kerastricks.search.space.space import Space
from kerastricks.search.trial_record import TrialRecord, ranked
from kerastricks.search.trials.processes import Processes
from kerastricks.training.config import Config

Say = Callable[[str], None]


def keep_best(
    plan: SearchPlan, folder: SearchFolder, records: Sequence[TrialRecord], processes: Processes, say: Say
) -> list[Path]:
    """Creates run folders of the best `plan.top` trials, best first; existing ones are left as they are.

    A trial of a cross-validation, and one whose checkpoint is gone, is trained from scratch, on the training split.

    Returns:
        The run folders.

    Raises:
        RunFailedError: where one cannot be created.
    """
    paths = []
    for record in ranked(records)[: plan.top]:
        run = RunFolder(folder.runs / f"trial-{record.trial}")
        paths.append(run.path)
        if not run.summary.exists():
            say(f"run folder of trial {record.trial}: {run.path}")
            _begin(plan, folder, record, run)
            _follow_data(plan, run)
            job = {"job": "finish", "folder": str(run.path)}
            _carry_out(job, folder.trial(record.trial) / "finish.log", processes)
        report = folder.trial(record.trial) / REPORT
        write_json(report, {**(try_read_json(report) or {}), "run": str(run.path.relative_to(folder.path))})
    return paths


def refit_best(
    plan: SearchPlan, folder: SearchFolder, records: Sequence[TrialRecord], processes: Processes, say: Say
) -> Path:
    """Trains the best configuration from scratch on training and validation images.

    Returns:
        The run folder.
    """
    best = ranked(records)[0]
    run = RunFolder(folder.runs / f"refit-{best.trial}")
    if not run.summary.exists():
        say(f"trial {best.trial} is trained again with the validation images: {run.path}")
        run.path.mkdir(parents=True, exist_ok=True)
        if folder.recipe.exists():
            shutil.copyfile(folder.recipe, run.recipe)
        job = {
            "job": "refit",
            "folder": str(run.path),
            "config": config_of(plan, best.values).as_dict(),
            "pixels": str(folder.pixels),
            "kept": plan.kept,
        }
        _carry_out(job, run.path / "refit.log", processes)
    return run.path


def config_of(plan: SearchPlan, values: dict[str, Any]) -> Config:
    """The configuration of a trial."""
    config = Space.from_dict(plan.space).apply(values, Config(**plan.base))
    return dataclasses.replace(config, epochs=plan.epochs)


def _begin(plan: SearchPlan, folder: SearchFolder, record: TrialRecord, run: RunFolder) -> None:
    """Seeds the run folder with the trial's checkpoint, so that it is not trained twice."""
    if run.config.exists():
        return
    trained = RunFolder(folder.trial(record.trial) / "run")
    run.path.parent.mkdir(parents=True, exist_ok=True)
    with begun_folder(run.path.parent) as begun:
        if not plan.folds and trained.checkpoint.exists():
            shutil.copytree(trained.path, begun, dirs_exist_ok=True)
        else:
            config = config_of(plan, record.values).as_dict()
            write_json(begun / "config.json", {"config": config, "resolved": False})
            if folder.recipe.exists():
                shutil.copyfile(folder.recipe, begun / "recipe.py")
        take_name(begun, run.path)


def _follow_data(plan: SearchPlan, run: RunFolder) -> None:
    """Record where the images of a resumed search are now: the run began where they were."""
    data = plan.base.get("data")
    if data is not None and run.read(run.config)["config"]["data"] != data:
        move_data(run, data)


def _carry_out(job: dict[str, Any], log: Path, processes: Processes) -> None:
    last: dict[str, Any] = {}
    for event in processes.run(job, log, warm_next=False):
        last = event
    if last["event"] == "interrupted":
        raise KeyboardInterrupt
    if last["event"] == "failed":
        error = UsageError if last["kind"] == "usage" else RunFailedError
        raise error(f"{job['folder']}: {last['reason']} (see {log})")

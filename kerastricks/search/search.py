"""Runs one search to completion, new or resumed."""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

import kerastricks
from kerastricks.errors import RunFailedError, SearchError
from kerastricks.progress import Progress
from kerastricks.search.best_runs import keep_best, refit_best
from kerastricks.search.folder import SearchFolder
from kerastricks.search.oracle.engine import open_oracle, quiet
from kerastricks.search.oracle.supervisor import supervise
from kerastricks.search.plan import SearchPlan
from kerastricks.search.preparation import has_own_model
from kerastricks.search.publish import Publisher
from kerastricks.search.space.defaults import DataFacts
from kerastricks.search.space.space import Space
from kerastricks.search.space.space_file import load_space
from kerastricks.search.trial_record import TrialRecord, read_records
from kerastricks.search.trials.processes import Processes, check_memory, gpus_of
from kerastricks.search.trials.runner import TrialRunner
from kerastricks.search.view import SearchView
from kerastricks.training.config import Config

Say = Callable[[str], None]


def prepare(
    plan: SearchPlan,
    folder: SearchFolder,
    processes: Processes,
    progress: Progress,
    *,
    space_file: Path | None,
    keep_rate: bool,
    range_test: bool,
    workers: int = 1,
    choose_epochs: bool = False,
    say: Say = lambda line: None,
) -> SearchPlan:
    """Reads the images, finds the rate, builds the space, and stores the pixels; returns the complete plan.

    Args:
        plan: of the search, as far as it is known.
        folder: of the search.
        processes: one of them does it.
        progress: where it shows how far it is.
        space_file: of the space; None for the default one.
        keep_rate: the search starts from the rate of `plan.base`, whatever the range test suggests.
        range_test: whether it is done.
        workers: that will run it here.
        choose_epochs: whether the epochs of a trial are lowered so that all trials fit into `plan.minutes`.
        say: gets a line about that.

    Raises:
        SearchError: where the images, the space or the model are no good for a search.
    """
    job = {
        "job": "prepare",
        "config": plan.base,
        "folder": str(folder.path),
        "recipe": str(folder.recipe),
        "pixels": str(folder.pixels),
        "folds": plan.folds,
        "range_test": range_test,
        "space_file": None if space_file is None else str(space_file),
        "keep_rate": keep_rate,
        "seconds": None if plan.minutes is None else 60.0 * plan.minutes,
    }
    plan = plan.ending(time.time())
    result = ask(job, folder, processes, progress)
    if plan.minutes is not None and choose_epochs:
        step, evaluation, once = result["timing"]
        epoch = (result["steps_per_epoch"] * step + evaluation) * max(plan.folds, 1)
        plan, said = plan.fitting(epoch, once, time.time(), workers)
        say(said)
    return dataclasses.replace(
        plan,
        base=result["config"],
        space=result["space"],
        data=result["data"],
        range_test=result["range_test"],
        kept=result["kept"],
        trial_bytes=result["bytes"],
        versions=versions(folder),
    )


def look_again(plan: SearchPlan, folder: SearchFolder, processes: Processes, progress: Progress) -> dict[str, Any]:
    """Read the images of a search again, and rewrite their pixels."""
    job = {"job": "look", "config": plan.base, "pixels": str(folder.pixels), "keep": plan.kept}
    return ask(job, folder, processes, progress)["data"]


def space_again(plan: SearchPlan, folder: SearchFolder, space_file: Path) -> Space:
    """The space of a file, for the existing search."""
    images, shape = plan.data["images"]["train"], tuple(plan.data["image_shape"])
    facts = DataFacts(images, shape, len(plan.data["class_names"]), plan.base["augment"])
    found = plan.range_test
    interval = None if found is None or found["interval"] is None else (found["interval"][0], found["interval"][1])
    return load_space(space_file, Config(**plan.base), facts, interval, own_model=has_own_model(folder.recipe))


def ask(job: dict[str, Any], folder: SearchFolder, processes: Processes, progress: Progress) -> dict[str, Any]:
    """Result of a job other than a trial.

    Raises:
        SearchError: where it fails for something that the user can mend.
        RunFailedError: where it fails for anything else.
    """
    shown: Any = None
    advance: Callable[[int], None] = lambda done: None  # noqa: E731
    last: dict[str, Any] = {}
    for event in processes.run(job, folder.path / "prepare.log"):
        last = event
        if event["event"] != "progress":
            continue
        if "total" in event:
            shown = progress(event["description"], event["total"])
            advance = shown.__enter__()
        elif "done" in event:
            advance(event["done"])
        elif shown is not None:
            shown.__exit__(None, None, None)
            shown = None
    if shown is not None:
        shown.__exit__(None, None, None)
    if last["event"] == "interrupted":
        raise KeyboardInterrupt
    if last["event"] == "failed":
        if last["kind"] == "usage":
            raise SearchError(last["reason"])
        raise RunFailedError(last["reason"])
    return last


def run_search(
    plan: SearchPlan,
    folder: SearchFolder,
    processes: Processes,
    view: SearchView,
    say: Say,
    *,
    workers: int,
    listening: tuple[str, int] | None,
    environment: Mapping[str, str],
) -> list[TrialRecord]:
    """Runs all trials, and makes run folders of the best.

    Args:
        plan: of the search.
        folder: of the search.
        processes: of this process.
        view: where trials are shown.
        say: gets a line about each thing decided.
        workers: how many on this machine.
        listening: host and port of a chief; None where one worker does without.
        environment: of the processes of workers.

    Returns:
        All finished trials.

    Raises:
        RunFailedError: where all trials failed.
        KeyboardInterrupt: after Ctrl-C, when what was running has saved its state.
    """
    folder.finished.unlink(missing_ok=True)
    if listening is None:
        _alone(plan, folder, processes, view)
    else:
        check_memory(workers, plan.trial_bytes)
        processes.close()
        supervise(folder, *listening, gpus_of(workers, environment), view, say, environment)
    records = read_records(folder.trials)
    view.close()
    if records and all(record.status == "failed" for record in records):
        raise RunFailedError(f"{folder.path}: all {len(records)} trials failed; the last: {records[-1].reason}")
    keep_best(plan, folder, records, processes, say)
    if plan.refit and records:
        refit_best(plan, folder, records, processes, say)
    with quiet():
        oracle = open_oracle(plan, folder)
    records = oracle.records()
    Publisher(plan, folder).write(records, last=True)
    folder.remove_pixels()
    return records


def _alone(plan: SearchPlan, folder: SearchFolder, processes: Processes, view: SearchView) -> None:
    oracle = open_oracle(plan, folder)
    publisher = Publisher(plan, folder)
    publisher.write(oracle.records())

    def end(trial: str) -> None:
        records = oracle.records()
        publisher.write(records)
        for record in records:
            if record.trial == trial:
                view.end(record)

    runner = TrialRunner(oracle, plan, folder, "tuner0", processes, view.begin, view.epoch, end)
    with quiet():
        runner.run()


def versions(folder: SearchFolder) -> dict[str, str]:
    """Versions of the packages that determine the result of a trial."""
    backend = keras.backend.backend()
    known = {
        "kerastricks": kerastricks.__version__,
        "keras": keras.__version__,
        "keras-tuner": version("keras-tuner"),
        "backend": f"{backend} {version(backend)}",
    }
    if folder.recipe.exists():
        known["recipe"] = hashlib.sha256(folder.recipe.read_bytes()).hexdigest()[:16]
    return known


def base_of(config: Config) -> dict[str, Any]:
    """The fields that all trials start from; epochs and minutes are the plan's."""
    return dataclasses.replace(config, epochs=None, minutes=None).as_dict()

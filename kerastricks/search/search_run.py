"""Begins a search, resumes one, and runs it."""

import dataclasses
import io
import shutil
import socket
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast

from rich.console import Console

from kerastricks.progress import Progress
from kerastricks.search import search as work
from kerastricks.search.folder import SearchFolder
from kerastricks.search.hparams import write_hparams
from kerastricks.search.plan import SearchPlan
from kerastricks.search.space.space import Space
from kerastricks.search.trial_record import TrialRecord, read_records
from kerastricks.search.trials.processes import Processes
from kerastricks.search.tuning import TuningRequest
from kerastricks.search.view import SearchView
from kerastricks.training.config import Config

Say = Callable[[str], None]
_WIDTH = 120

__all__ = ["begun", "resumed", "run", "write_hparams"]


class _Lines(io.TextIOBase):
    """A file whose lines go to a function."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)


def begun(
    folder: SearchFolder, request: TuningRequest, processes: Processes, say: Say, progress: Progress
) -> SearchPlan:
    """The plan of a new search, in its folder.

    Args:
        folder: new and empty.
        request: of the search.
        processes: one of them prepares it.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.

    Raises:
        UsageError: where anything is no good for a search; the folder has no search.json then.
    """
    fields, space_file, range_test = dict(request.fields), request.space_file, request.range_test
    if request.recipe is not None:
        shutil.copyfile(request.recipe.path, folder.recipe)
    path = Path(str(fields["data"])).expanduser()
    if path.exists():
        fields["data"] = str(path.resolve())
    config = Config.from_layers(fields)
    if space_file is not None and range_test:
        # With a space file that sets the rates to search, or leaves the rate out, no test is needed.
        tables = tomllib.loads(space_file.read_text(encoding="utf-8"))
        range_test = "extends" in tables and "learning_rate" not in tables
    plan = SearchPlan(work.base_of(config), {}, **request.completed())
    say(f"search folder: {folder.path}")
    plan = work.prepare(
        plan,
        folder,
        processes,
        progress,
        space_file=None if space_file is None else space_file.resolve(),
        keep_rate="learning_rate" in fields,
        range_test=range_test,
        workers=request.workers,
        choose_epochs="epochs" not in request.asked,
        say=say,
    )
    work.check_memory(request.workers, plan.trial_bytes)
    folder.write_plan(plan)
    _tell(plan, say)
    return plan


def _tell(plan: SearchPlan, say: Say) -> None:
    images = ", ".join(f"{count:,} {name}" for name, count in plan.data["images"].items())
    say(f"{plan.data['name']}: {len(plan.data['class_names'])} classes, {images}")
    found = plan.range_test
    if found is not None and found["suggestion"] is not None:
        low, high = found["interval"]
        say(
            f"range test: rate {found['suggestion']:.3g}, interval {low:.3g} to {high:.3g}, confidence "
            f"{found['confidence']:.0%}"
        )
    elif found is not None:
        say(f"range test: cannot tell ({found['reason']}): the usual rates are searched")
    for parameter in Space.from_dict(plan.space):
        say(f"  {parameter.name}: {parameter}")


def resumed(
    folder: SearchFolder, request: TuningRequest, processes: Processes, say: Say, progress: Progress
) -> SearchPlan:
    """The plan of an existing search with the permitted changes; its images are read again.

    Args:
        folder: of the search.
        request: what is asked for now.
        processes: one of them looks at the images.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.

    Raises:
        SearchError: where it is another search.
    """
    fields, asked, space_file = request.fields, request.asked, request.space_file
    before = folder.read_plan()
    before = dataclasses.replace(before, base=Config.from_layers(before.base).as_dict())  # fields of newer versions
    # A recipe's epochs are not a search's, and what was "auto" has been decided.
    base = {name: value for name, value in fields.items() if name != "epochs" and value != "auto"}
    path = Path(str(base.get("data", ""))).expanduser()
    if "data" in base and path.exists():
        base["data"] = str(path.resolve())
    wanted = dataclasses.replace(before, **asked, base={**before.base, **base}, versions=work.versions(folder))
    if space_file is not None:
        wanted = dataclasses.replace(wanted, space=work.space_again(before, folder, space_file).to_dict())
    before.refuse_other(wanted, folder.path)
    data = work.look_again(wanted, folder, processes, progress)
    before.refuse_other(dataclasses.replace(wanted, data=data), folder.path)
    # Minutes that are given again are for what is left to be done.
    of_trials = sum(record.seconds for record in read_records(folder.trials)) / max(request.workers, 1)
    used = 0.0 if "minutes" in asked else of_trials
    wanted = wanted.ending(time.time(), used)
    folder.write_plan(wanted)
    return wanted


def run(
    plan: SearchPlan,
    folder: SearchFolder,
    processes: Processes,
    workers: int,
    listening: tuple[str, int] | None,
    environment: Mapping[str, str],
    *,
    say: Say,
    console: Console | None,
) -> list[TrialRecord]:
    """Runs a search to its end and shows it; returns all finished trials."""
    console = console or Console(file=cast(IO[str], _Lines(say)), highlight=False, markup=False, width=_WIDTH)
    names = [parameter.name for parameter in Space.from_dict(plan.space).searched]
    records = read_records(folder.trials)
    if records:
        say(f"{len(records)} trial(s) are finished")
    if listening is not None:
        host, port = listening
        reached = socket.gethostname() if host in ("0.0.0.0", "::") else host
        say(
            f"chief: {host}:{port}; on a machine that shares the folder: kerastricks tune-worker {folder.path} --chief "
            f"{reached}:{port}"
        )
    view = SearchView(console, plan.objective, plan.direction, plan.trials, names, max(workers, 1), records)
    try:
        found = work.run_search(
            plan,
            folder,
            processes,
            view,
            say,
            workers=workers,
            listening=listening,
            environment=environment,
        )
    finally:
        view.close()
    view.summary(console=console)
    return found

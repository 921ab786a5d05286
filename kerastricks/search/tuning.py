"""A search as a job: begun in a new folder, or resumed. Nothing slow is imported before its processes are starting."""

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from kerastricks.data.service.listening import Listening
from kerastricks.errors import ConfigError, Interrupted, UsageError
from kerastricks.progress import Progress, in_lines
from kerastricks.recipes import Recipe
from kerastricks.runs.configuration import SearchFields, Source, as_path, changed, check_early, recipe_of
from kerastricks.runs.resumable import Resumption, Say, interrupted, sigterm_interrupts
from kerastricks.search.folder import SearchFolder
from kerastricks.search.plan import DIRECTIONS, SearchPlan, with_monitor
from kerastricks.search.search_record import SearchRecord
from kerastricks.search.trials.processes import Processes
from kerastricks.training.config import Config

if TYPE_CHECKING:
    from rich.console import Console

RESUMPTION = Resumption("kerastricks tune --resume --out", "kerastricks.search.tune")


def tune(
    source: Source | None = None,
    config: Config | None = None,
    *,
    space: str | os.PathLike[str] | None = None,
    oracle: str | None = None,
    objective: str | None = None,
    direction: str | None = None,
    trials: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    folds: int | None = None,
    stop_early: bool | None = None,
    doctor: bool | None = None,
    retries: int | None = None,
    range_test: bool = True,
    top: int | None = None,
    refit: bool | None = None,
    workers: int = 1,
    host: str = "127.0.0.1",
    port: int = 0,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[SearchFields],
) -> SearchRecord:
    """Search hyperparameters and leave a search folder with the best runs, as `kerastricks tune` does.

    Each trial is a process of its own. Ctrl-C and SIGTERM save the state: `resume` continues from there.

    Args:
        source: a folder, zip or table of images, the name of a data set or recipe, or a loaded recipe.
        config: that the search starts from: its fields that are not the defaults. None for the recipe's.
        space: a TOML file of the space; None for the default one.
        oracle: "bayesian", "grid", "hyperband" or "random"; None for bayesian.
        objective: a metric that training logs; None for val_accuracy. val_balanced_accuracy and val_macro_f1 are the
            `monitor` of the trials, too.
        direction: "min" or "max"; None for what the objective asks for.
        trials: the most there will be; None for 20.
        epochs: of a trial that is not stopped; None for 10.
        minutes: that the search may take; None for as long as it takes.
        folds: parts of a cross-validation; None or 0 for the validation split.
        stop_early: whether the median rule stops trials; None for yes.
        doctor: whether a trial ends as failed when its curves show that it is hopeless: it diverged, learns nothing,
            predicts one class, or its learning rate is much too high. None for no.
        retries: of a trial that crashed; None for 1.
        range_test: whether a range test finds the learning rates to search.
        top: how many of the best are kept as run folders; None for 1.
        refit: whether the best is trained again with the validation images; None for no.
        workers: trials at once on this machine.
        host: address of the chief that workers on other machines reach.
        port: of the chief; 0 for a free one.
        out: the folder of the search; None for saved_models/tune-DATA-NUMBER.
        resume: the folder of a search that was begun; what is given besides must agree with it.
        tensorboard: write HParams for TensorBoard.
        say: gets a line about each thing decided and each finished trial.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.
        **fields: of the configuration that the search starts from; `seed` is the oracle's, too.

    Returns:
        The plan and all finished trials.

    Raises:
        UsageError: for anything wrong with the arguments, the images, the space or the folder.
        RunFailedError: where all trials fail.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.
    """
    if resume is not None and out is not None:
        raise UsageError("out and resume exclude each other: resume=PATH is the folder of the search")
    asked: dict[str, Any] = {
        "oracle": oracle,
        "objective": objective,
        "direction": direction,
        "trials": trials,
        "epochs": epochs,
        "minutes": minutes,
        "folds": folds,
        "stop_early": stop_early,
        "doctor": doctor,
        "retries": retries,
        "top": top,
        "refit": refit,
    }
    given: dict[str, Any] = {**(changed(config) if config is not None else {}), **fields}
    for field in ("epochs", "minutes"):
        if field in given:
            raise ConfigError(f"config.{field} must be None: a search has {field}= for that. Received: {given[field]}")
    request = TuningRequest.of(
        recipe_of(source) or source,
        given,
        asked,
        space_file=None if space is None else as_path(space),
        range_test=range_test,
        workers=workers,
        out=None if out is None else as_path(out),
        resume=None if resume is None else as_path(resume),
        tensorboard=tensorboard,
    )
    if resume is None:
        request.check()
    listening = listening_at(workers, host, port, say)
    environment = dict(os.environ)
    processes = Processes(environment)
    processes.warm()  # it imports while this process does
    return run_tuning(request, processes, listening, environment, say=say, progress=progress or in_lines(say))


@dataclass(frozen=True)
class TuningRequest:
    """Request for a search.

    Args:
        fields: of the configuration that it starts from, those that are given.
        asked: fields of its plan, those that are given.
        recipe: that it starts from, or None.
        space_file: of the space; None for the default one.
        range_test: whether there may be one.
        workers: trials at once on this machine.
        out: a new folder; None for one that is free.
        resume: the folder of a search that was begun; None for a new one.
        tensorboard: write HParams.
    """

    fields: dict[str, Any]
    asked: dict[str, Any]
    recipe: Recipe | None = None
    space_file: Path | None = None
    range_test: bool = True
    workers: int = 1
    out: Path | None = None
    resume: Path | None = None
    tensorboard: bool = False

    @classmethod
    def of(
        cls, source: Source | None, fields: Mapping[str, Any], asked: Mapping[str, Any], **more: Any
    ) -> "TuningRequest":
        """The request for a source, with the fields of a recipe; None for options that were not given.

        Args:
            source: a recipe, or what names data.
            fields: of the configuration; they replace those of the recipe.
            asked: fields of the plan.
            **more: the other arguments of the class.
        """
        recipe = source if isinstance(source, Recipe) else None
        base: dict[str, Any] = recipe.config if recipe is not None else {}
        if recipe is None and source is not None:
            base = {"data": os.fspath(source)}  # type: ignore[arg-type]
        asked = {**asked, "seed": fields.get("seed")}
        return cls(
            with_monitor({**base, **fields}, asked.get("objective")),
            {name: value for name, value in asked.items() if value is not None},
            recipe,
            **more,
        )

    def check(self) -> None:
        """Checks what can be checked before anything slow.

        Raises:
            UsageError: naming the argument.
        """
        if self.fields.get("data") is None:
            raise ConfigError("data is missing: name a folder, a zip, a data set or a recipe")
        config = Config.from_layers(self.fields)
        check_early(config, self.recipe)
        SearchPlan({}, {}, **self.completed())
        if self.space_file is not None:
            from kerastricks.search.space.space_file import load_space

            own_model = self.recipe is not None and self.recipe.create_model is not None
            load_space(self.space_file, config, own_model=own_model)

    def completed(self) -> dict[str, Any]:
        """The fields of a new plan, derived ones included."""
        objective = self.asked.get("objective", "val_accuracy")
        return {
            "direction": DIRECTIONS.get(objective, "max"),
            "top": min(1, self.asked.get("trials", 1)),
            **self.asked,
        }


def run_tuning(
    request: TuningRequest,
    processes: Processes,
    listening: tuple[str, int] | None,
    environment: Mapping[str, str],
    *,
    say: Say,
    progress: Progress,
    console: "Console | None" = None,
    importing: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> SearchRecord:
    """Runs a search to its end.

    Args:
        request: that was checked.
        processes: closed at the end.
        listening: host and port of a chief; None where one worker does without.
        environment: of the processes of workers.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.
        console: rich's, where trials are shown; None to `say` a line for each.
        importing: a context for the slow imports.
    """
    folder: SearchFolder | None = None
    try:
        with sigterm_interrupts():
            if request.resume is not None:
                folder = SearchFolder.open(request.resume)
            else:
                folder = SearchFolder.create(request.out, Path(str(request.fields["data"])).stem)
            with folder.locked(), folder.removed_unless_begun(), contextlib.closing(processes):
                with importing():
                    from kerastricks.search import search_run

                prepare = search_run.begun if request.resume is None else search_run.resumed
                plan = prepare(folder, request, processes, say, progress)
                records = search_run.run(
                    plan, folder, processes, request.workers, listening, environment, say=say, console=console
                )
                if request.tensorboard:
                    search_run.write_hparams(folder.path / "tensorboard", records)
    except KeyboardInterrupt as stop:
        if folder is not None and folder.plan.exists():
            say(f"interrupted; resume with: {RESUMPTION.line(folder.path)}")
            raise interrupted(stop, RESUMPTION, folder.path) from None
        say("interrupted; nothing was begun")
        raise stop if isinstance(stop, Interrupted) else Interrupted(signal.SIGINT) from None
    finally:
        processes.close()
    return SearchRecord(folder.path, plan, tuple(records))


def listening_at(workers: int, host: str, port: int, say: Say) -> tuple[str, int] | None:
    """Address for the chief; None if a single worker needs none.

    Raises:
        UsageError: for an address that is none of this machine's, or a port that is in use.
    """
    if workers == 1 and host == "127.0.0.1" and port == 0:
        return None
    listening = Listening(host, port)
    if not listening.is_loopback:
        say(
            f"warning: the chief's port {listening.port} is open on {host}, without password or encryption: private "
            f"networks only"
        )
    return host, listening.port

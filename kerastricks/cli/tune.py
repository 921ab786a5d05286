"""kerastricks tune"""

import contextlib
import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import options
from kerastricks.cli.carry_out import terminate
from kerastricks.cli.quiet import stderr_kept_back
from kerastricks.cli.train import complete_source, find_recipe
from kerastricks.data.names import check_source
from kerastricks.errors import Interrupted, UsageError


@click.command()
@click.argument("source", required=False, type=options.SOURCE, shell_complete=complete_source)
@click.option("--model", type=options.SPEC, metavar="SPEC", help='The search starts from it: "resnet_20".')
@options.assignments
@click.option("--space", "space_file", type=options.FILE, metavar="FILE.toml")
@click.option("--oracle", type=options.TEXT, help="bayesian, grid, hyperband or random.  [default: bayesian]")
@click.option(
    "--objective", type=options.TEXT, metavar="METRIC", help="A metric that training logs.  [default: val_accuracy]"
)
@click.option("--direction", type=options.Choice(["min", "max"]), help="[default: min of a loss, max of an accuracy]")
@click.option("--trials", type=options.number(1, 9999), help="The most there will be.  [default: 20]")
@click.option("--epochs", type=options.field("epochs"), help="Of a trial that is not stopped.  [default: 10]")
@click.option(
    "--minutes", type=options.field("minutes"), metavar="N", help="End in so many: fewer epochs, then fewer trials."
)
@click.option("--seed", type=options.SEED, help="Of the oracle, splits, weights, order and draws.  [default: 0]")
@click.option(
    "--folds", type=options.number(0, 1000), metavar="K", help="Cross-validation in place of the validation split."
)
@click.option("--early-stop/--no-early-stop", default=None, help="The median rule.  [default: early-stop]")
@click.option("--retries", type=options.number(0, 1000), help="Of a trial that crashed.  [default: 1]")
@click.option("--range-test/--no-range-test", default=True, help="Finds the rates to search.  [default: range-test]")
@click.option("--top", type=options.number(0, 9999), metavar="K", help="Keep the best as run folders.  [default: 1]")
@click.option("--refit/--no-refit", default=None, help="Train the best again with the validation images.")
@click.option("--workers", type=options.number(0, 1024), default=1, show_default=True, help="Trials at once, here.")
@click.option(
    "--host", type=options.TEXT, default="127.0.0.1", show_default=True, help="Address of the chief; 0.0.0.0 for all."
)
@click.option("--port", type=options.PORT, default=0, help="Of the chief.  [default: a free one]")
@click.option("--out", type=options.FOLDER, metavar="DIR", help="[default: saved_models/tune-DATA-NUMBER]")
@click.option("--resume", is_flag=True, help="Go on with the search in --out.")
@click.option("--tensorboard", is_flag=True, help="Write HParams for TensorBoard into DIR/tensorboard.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def tune(
    source: str | None,
    assignments: tuple[str, ...],
    out: Path | None,
    resume: bool,
    space_file: Path | None,
    range_test: bool,
    workers: int,
    host: str,
    port: int,
    tensorboard: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Search for the values that a training on SOURCE depends on, and keep the best runs.

    SOURCE is what `kerastricks train` takes. The learning rate comes first: a range test finds the interval to search.
    Each trial is a process of its own; what kills it costs one trial. Trials that cannot win any more are stopped. With
    --minutes trials have fewer epochs, three or more, so that all fit; no trial is begun that would end too late.

    \b
    kerastricks tune path/to/images/ --trials 20 --epochs 10
    kerastricks tune --resume --out saved_models/tune-images-1     after Ctrl-C or kill -9
    kerastricks tune images.zip --space space.toml --workers 2

    DIR gets search.html, trials.jsonl (a line a finished trial) and runs/ (the best, as `kerastricks train` leaves
    them). On other machines that share DIR: kerastricks tune-worker DIR --chief HOST:PORT. See docs/search.md.
    """
    model, epochs, seed = given.pop("model"), given.pop("epochs"), given.pop("seed")
    fields = _fields(assignments, model, seed)
    asked = {name: value for name, value in given.items() if value is not None}
    asked["stop_early"] = asked.pop("early_stop", None)
    asked |= {"epochs": epochs, "seed": fields.get("seed")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if resume and out is None:
        raise UsageError("--resume: name the search with --out DIR")
    recipe = find_recipe(source) if source is not None else None
    if recipe is not None:
        fields = {**recipe.config, **fields}
    elif source is not None:
        fields = {"data": source, **fields}
    if not resume:
        with stderr_kept_back():
            _check_early(source, fields, asked, recipe, space_file)
    listening = _listening(workers, host, port)

    environment = dict(os.environ)
    from kerastricks.search.processes import Processes

    processes = Processes(environment)
    processes.warm()  # it imports while this process does
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the GPU is for the trials
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    signal.signal(signal.SIGTERM, terminate)
    folder, plan, records = None, None, None
    try:
        from kerastricks.search.folder import SearchFolder

        if resume and out is not None:
            folder = SearchFolder.open(out)
        else:
            folder = SearchFolder.create(out, Path(str(fields["data"])).stem)
        with folder.locked(), folder.removed_unless_begun(), contextlib.closing(processes):
            with stderr_kept_back():
                from kerastricks.cli import tune_search

            if resume:
                plan = tune_search.resumed(folder, fields, asked, space_file, processes, workers)
            else:
                plan = tune_search.begun(
                    folder, fields, with_direction(asked), space_file, range_test, recipe, processes, workers
                )
            records = tune_search.run(plan, folder, processes, workers, listening, environment)
            if tensorboard:
                tune_search.write_hparams(folder.path / "tensorboard", records)
    except KeyboardInterrupt as stop:
        from kerastricks.cli import screen

        if folder is not None and folder.plan.exists():
            screen.say(f"interrupted; go on with: kerastricks tune --resume --out {folder.path}")
        else:
            screen.say("interrupted; nothing was begun")
        raise stop if isinstance(stop, Interrupted) else Interrupted(signal.SIGINT) from None
    finally:
        processes.close()
    _report(folder, plan, records, as_json)


def _fields(assignments: tuple[str, ...], model: str | None, seed: int | None) -> dict[str, Any]:
    from kerastricks.training.config import parse_assignment

    fields = {name: value for name, value in (("model", model), ("seed", seed)) if value is not None}
    fields |= dict(parse_assignment(text) for text in assignments)
    for name in ("epochs", "minutes"):
        if name in fields:
            raise UsageError(f"--set {name}: a search has --{name} for that")
    return fields


def _check_early(
    source: str | None, fields: dict[str, Any], asked: dict[str, Any], recipe: Any, space_file: Path | None
) -> None:
    """What can be refused before anything slow."""
    from kerastricks.models.catalog import MODELS
    from kerastricks.search.plan import SearchPlan
    from kerastricks.spec import parse
    from kerastricks.training.config import Config

    if source is None and "data" not in fields:
        raise UsageError("SOURCE is missing: a folder or zip of images, or a recipe: kerastricks recipe list")
    config = Config.from_layers(fields)
    own_model = recipe is not None and recipe.create_model is not None
    if not own_model:
        MODELS.check(parse(config.model).name)
    if recipe is None:
        check_source(str(config.data))
    SearchPlan({}, {}, **with_direction(asked))
    if space_file is not None:
        from kerastricks.search.space_file import load_space

        load_space(space_file, config, own_model=own_model)


def with_direction(asked: dict[str, Any]) -> dict[str, Any]:
    """With what follows from the rest."""
    from kerastricks.search.plan import DIRECTIONS

    objective = asked.get("objective", "val_accuracy")
    return {"direction": DIRECTIONS.get(objective, "max"), "top": min(1, asked.get("trials", 1)), **asked}


def _listening(workers: int, host: str, port: int) -> tuple[str, int] | None:
    """Where the chief is to listen; None where one worker does without."""
    if workers == 1 and host == "127.0.0.1" and port == 0:
        return None
    from kerastricks.cli import screen
    from kerastricks.data.service.listening import Listening

    listening = Listening(host, port)
    if not listening.is_loopback:
        screen.say(
            f"warning: the chief's port {listening.port} is open on {host}, without password or encryption: private "
            f"networks only"
        )
    return host, listening.port


def _report(folder: Any, plan: Any, records: Any, as_json: bool) -> None:
    from kerastricks.cli import screen
    from kerastricks.search.ranking import counts, ranked

    best = ranked(records)
    if as_json:
        record = {
            "folder": str(folder.path),
            "objective": plan.objective,
            "direction": plan.direction,
            "trials": counts(records),
            "best": [dataclasses.asdict(one) for one in best[: max(plan.top, 1)]],
            "page": str(folder.page),
        }
        click.echo(json.dumps(record, indent=2))
        return
    if best:
        screen.output.print(f"best: trial {best[0].trial}, {plan.objective} {best[0].score:.4f}", soft_wrap=True)
    for one in best[: plan.top]:
        if one.run is not None:
            screen.output.print(f"  run     {folder.path / one.run}", soft_wrap=True)
    screen.output.print(f"  page    {folder.page}", soft_wrap=True)
    screen.output.print(f"  trials  {folder.trials}", soft_wrap=True)

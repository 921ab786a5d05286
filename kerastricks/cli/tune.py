"""kerastricks tune"""

import json
import os
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.job_options import find_recipe
from kerastricks.cli.quiet import stderr_kept_back
from kerastricks.errors import UsageError


@click.command()
@job_options.source()
@job_options.model('The search starts from it: "resnet_20".')
@options.assignments
@click.option("--space", "space_file", type=options.FILE, metavar="FILE.toml")
@click.option("--oracle", type=options.TEXT, help="bayesian, grid, hyperband or random.  [default: bayesian]")
@click.option(
    "--objective",
    type=options.TEXT,
    metavar="METRIC",
    help="val_loss, val_accuracy, val_balanced_accuracy, val_macro_f1, loss, accuracy.  [default: val_accuracy]",
)
@click.option("--direction", type=options.Choice(["min", "max"]), help="[default: min of a loss, max of an accuracy]")
@click.option("--trials", type=options.number(1, 9999), help="Maximum number of trials.  [default: 20]")
@job_options.epochs("Epochs of a trial that is not stopped.  [default: 10]")
@job_options.minutes("End in so many: fewer epochs, then fewer trials.")
@job_options.seed("Seed of oracle, splits, weights, order and augmentation.  [default: 0]")
@click.option(
    "--folds", type=options.number(0, 1000), metavar="K", help="Cross-validation in place of the validation split."
)
@click.option(
    "--early-stop/--no-early-stop", default=None, help="Stop trials by the median rule.  [default: early-stop]"
)
@click.option(
    "--doctor/--no-doctor", default=None, help="End trials that diverge or learn nothing.  [default: no-doctor]"
)
@click.option("--retries", type=options.number(0, 1000), help="Retries of a crashed trial.  [default: 1]")
@click.option(
    "--range-test/--no-range-test", default=True, help="Find the interval of rates to search.  [default: range-test]"
)
@click.option("--top", type=options.number(0, 9999), metavar="K", help="Keep the best as run folders.  [default: 1]")
@click.option("--refit/--no-refit", default=None, help="Train the best again with the validation images.")
@click.option(
    "--workers", type=options.number(0, 1024), default=1, show_default=True, help="Trials at once on this machine."
)
@click.option(
    "--host", type=options.TEXT, default="127.0.0.1", show_default=True, help="Address of the chief; 0.0.0.0 for all."
)
@click.option("--port", type=options.PORT, default=0, help="Port of the chief.  [default: a free one]")
@click.option("--out", type=options.FOLDER, metavar="DIR", help="[default: saved_models/tune-DATA-NUMBER]")
@click.option("--resume", is_flag=True, help="Resume the search in --out.")
@click.option("--tensorboard", is_flag=True, help="Write HParams for TensorBoard into DIR/tensorboard.")
@job_options.as_json("Print the result as JSON.")
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
    """Search hyperparameters for SOURCE and keep the best runs.

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
    fields = _fields(assignments, given.pop("model"), given.pop("seed"))
    asked = {**given, "stop_early": given["early_stop"]}
    del asked["early_stop"]
    if resume and out is None:
        raise UsageError("--resume: name the search with --out DIR")
    recipe = find_recipe(source) if source is not None else None
    if not resume and source is None and "data" not in fields:
        raise UsageError("SOURCE is missing: a folder or zip of images, or a recipe: kerastricks recipe list")
    if space_file is not None and not space_file.is_file():  # a pipe would be waited for
        raise UsageError(f"{space_file}: {'is no file' if space_file.exists() else 'no such file'}: name a TOML file")
    from kerastricks.search.trials.processes import Processes
    from kerastricks.search.tuning import TuningRequest, listening_at, run_tuning

    request = TuningRequest.of(
        recipe or source,
        fields,
        asked,
        space_file=space_file,
        range_test=range_test,
        workers=workers,
        out=None if resume else out,
        resume=out if resume else None,
        tensorboard=tensorboard,
    )
    if not resume:
        with stderr_kept_back():
            if space_file is not None:
                import keras  # noqa: F401 - before TensorFlow, which does not explain a keras.json that it cannot read
            request.check()
    from kerastricks.cli import screen

    listening = listening_at(workers, host, port, screen.say)
    environment = dict(os.environ)
    processes = Processes(environment)
    processes.warm()  # it imports while this process does
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the GPU is for the trials
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    show: dict[str, Any] = {
        "say": screen.say,
        "progress": screen.bar,
        "console": screen.errors,
        "importing": stderr_kept_back,
    }
    _report(run_tuning(request, processes, listening, environment, **show), as_json)


def _fields(assignments: tuple[str, ...], model: str | None, seed: int | None) -> dict[str, Any]:

    fields = job_options.given_fields(assignments, model=model, seed=seed)
    for name in ("epochs", "minutes"):
        if name in fields:
            raise UsageError(f"--set {name}: a search has --{name} for that")
    return fields


def _report(record: Any, as_json: bool) -> None:
    from kerastricks.cli import screen

    folder, plan, best = record.folder, record.plan, record.best
    if as_json:
        click.echo(json.dumps(record.to_json(), indent=2))
        return
    if best:
        screen.output.print(f"best: trial {best[0].trial}, {plan.objective} {best[0].score:.4f}", soft_wrap=True)
    for one in best[: plan.top]:
        if one.run is not None:
            screen.output.print(f"  run     {folder.path / one.run}", soft_wrap=True)
    screen.output.print(f"  page    {folder.page}", soft_wrap=True)
    screen.output.print(f"  trials  {folder.trials}", soft_wrap=True)

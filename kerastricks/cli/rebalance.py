"""kerastricks rebalance"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerastricks.cli import job_options, options
from kerastricks.data.sources.names import check_source
from kerastricks.errors import RunFolderError, UnknownNameError
from kerastricks.runs.configuration import REMEDIES, REMEDY_METRICS, UNCHANGED

if TYPE_CHECKING:
    from kerastricks.runs.rebalance_run import Rebalanced
    from kerastricks.runs.rebalancing_report import RebalancingReport

_MOST_ROWS = 20


@click.command()
@click.argument("run", type=options.RUN)
@click.option(
    "--method", type=options.TEXT, metavar="NAME", default="auto", show_default=True, help=f"{', '.join(REMEDIES[1:])}."
)
@click.option(
    "--metric",
    type=options.TEXT,
    metavar="NAME",
    default=REMEDY_METRICS[0],
    show_default=True,
    help=f"Metric to choose by: {', '.join(REMEDY_METRICS)}.",
)
@click.option(
    "--data",
    type=options.SOURCE,
    metavar="DATA",
    help="Where the images that RUN was trained on are now.  [default: where they were]",
)
@click.option("--seed", type=options.SEED, default=0, help="Seed of folds, bootstrap and samples.")
@options.out
@job_options.name("RUN-rebalanced-NUMBER")
@job_options.as_json("Print the report as JSON.")
def rebalance(
    run: Path, method: str, metric: str, data: str | None, seed: int, out: Path, name: str | None, as_json: bool
) -> None:
    """Correct the last layer of the finished run RUN for imbalanced classes.

    Writes a new run folder; RUN stays as it is. Nothing but the last layer changes. Validation images choose, test
    images measure.

    Without --method the simplest that is as good as any is taken: logit_adjustment subtracts tau times the logarithm
    of each class's share of the training images; tau_norm divides the weights of each class by a power of their norm;
    retrain fits the last layer anew, with classes weighted equally; thresholds tunes an offset per class. Where none
    gains anything, as is usual for --metric accuracy, RUN is the answer and nothing is written.

    \b
    kerastricks rebalance saved_models/RUN --metric macro_f1
    """
    if method not in REMEDIES:
        raise UnknownNameError("method", method, REMEDIES, "kerastricks rebalance --help")
    if metric not in REMEDY_METRICS:
        raise UnknownNameError("metric", metric, REMEDY_METRICS, "kerastricks rebalance --help")
    if not run.exists():
        raise RunFolderError(f"{run}: no such run folder")
    if data is not None:
        check_source(data)
    from kerastricks.runs.folder import RunFolder

    folder = RunFolder.open(run)
    folder.read(folder.summary)  # an unfinished run is refused before anything slow
    from kerastricks.cli.quiet import import_keras

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs.rebalance_run import rebalance as job

    found = job(
        run,
        method=method,
        metric=metric,
        data=data,
        seed=seed,
        out=out,
        name=name,
        say=screen.say,
        progress=screen.bar,
    )
    if as_json:
        click.echo(json.dumps({"run_folder": str(found.run.path), **found.report.to_json()}, indent=2))
        return
    _show(found)


def _show(found: "Rebalanced") -> None:
    from rich.table import Table

    from kerastricks.cli import screen

    report, run = found.report, found.run.folder
    metric = {"macro_f1": "macro F1"}.get(report.metric, report.metric.replace("_", " "))
    table = Table("method", box=None, pad_edge=False)
    for title in ("tau", "fitted", "cross-fitted", "gain", "90 % interval"):
        table.add_column(title, justify="right")
    for one in report.candidates:
        tau = "" if one.tau is None else f"{one.tau:g}"
        interval = f"{one.gain.low:+.2%} to {one.gain.high:+.2%}"
        row = [one.method, tau, f"{one.validation:.2%}", f"{one.cross_fitted:.2%}"]
        row += ["", ""] if one.method == UNCHANGED else [f"{one.gain.value:+.2%}", interval]
        table.add_row(*row, style="bold" if one.method == report.method else None)
    screen.output.print(f"{metric} on {report.validation_before.images:,} validation images:")
    screen.output.print(table)
    before, after = report.test_before, report.test_after
    if found.unchanged:
        screen.output.print(
            f"{run.path} is best left as it is: balanced accuracy {before.balanced_accuracy:.2%}, accuracy "
            f"{before.accuracy:.2%}, macro F1 {before.macro_f1:.2%} on {before.images:,} test images",
            soft_wrap=True,
        )
        return
    screen.output.print(
        f"on {before.images:,} test images: balanced accuracy {before.balanced_accuracy:.2%} -> "
        f"{after.balanced_accuracy:.2%}, accuracy {before.accuracy:.2%} -> {after.accuracy:.2%}, macro F1 "
        f"{before.macro_f1:.2%} -> {after.macro_f1:.2%}",
        soft_wrap=True,
    )
    for line in _by_size(report):
        screen.output.print(line, soft_wrap=True)
    screen.output.print(_classes(report))
    screen.output.print(f"  model       {run.model}", soft_wrap=True)
    screen.output.print(f"  SavedModel  {run.path / found.run.summary.saved_model}", soft_wrap=True)
    screen.output.print(f"  report      {run.report}", soft_wrap=True)
    screen.output.print(f"  summary     {run.summary}", soft_wrap=True)


def _by_size(report: "RebalancingReport") -> list[str]:
    """Recall of the largest classes and of all others, before and after."""
    large = report.largest_classes
    small = [name for name in report.training_images if name not in large]
    lines = []
    for names, which in ((large, "largest class(es), half of the training images"), (small, "other class(es)")):
        found = report.recall_of(names)
        if found is not None:
            lines.append(f"recall of the {len(names)} {which}: {found[0]:.1%} -> {found[1]:.1%}")
    return lines


def _classes(report: "RebalancingReport") -> object:
    """A table of recall by class, the rarest first; of many classes those that change most."""
    from rich.table import Table

    before, after = report.test_before.recall, report.test_after.recall
    names = sorted(report.training_images, key=lambda name: report.training_images[name])
    changes = {name: abs((after[name] or 0.0) - (before[name] or 0.0)) for name in names}
    kept = set(sorted(names, key=lambda name: -changes[name])[:_MOST_ROWS])
    table = Table(
        "class" if len(kept) == len(names) else f"class ({len(kept)} of {len(names)})", box=None, pad_edge=False
    )
    for title in ("training images", "test recall before", "after"):
        table.add_column(title, justify="right")
    for name in names:
        if name in kept:
            shares = ["-" if one[name] is None else f"{one[name]:.1%}" for one in (before, after)]
            table.add_row(name, f"{report.training_images[name]:,}", *shares)
    return table

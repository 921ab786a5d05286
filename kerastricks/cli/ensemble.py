"""kerastricks ensemble"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerastricks.cli import job_options, options
from kerastricks.data.sources.names import check_source
from kerastricks.errors import EnsembleError, RunFolderError, UnknownNameError
from kerastricks.runs.configuration import CLASSIFIERS, METHODS

if TYPE_CHECKING:
    from kerastricks.runs.record import RunRecord
    from kerastricks.runs.reports import CombinedReport, MemberReport, QualityReport


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=options.RUN)
@click.option(
    "--method", type=options.TEXT, metavar="NAME", default="auto", show_default=True, help=f"{', '.join(METHODS[1:])}."
)
@click.option("--temperatures", is_flag=True, help="Fit temperatures to validation; without --method they are tried.")
@click.option(
    "--data",
    type=options.SOURCE,
    metavar="DATA",
    help="Images to choose and test with.  [default: those of the first RUN]",
)
@click.option("--top", type=options.number(2, 9999), metavar="K", help="The best K of a folder of `kerastricks tune`.")
@click.option(
    "--classifier",
    type=options.TEXT,
    metavar="NAME",
    help=f"Classifier of fuse: {', '.join(CLASSIFIERS)}.  [default: logistic]",
)
@click.option("--late", is_flag=True, help="With fuse: combine with the members' probabilities.")
@click.option("--seed", type=options.SEED, default=0, help="Seed of folds, bags and bootstrap.")
@options.out
@job_options.name("ensemble-METHOD-DATA-NUMBER")
@job_options.as_json("Print the summary as JSON.")
def ensemble(
    runs: tuple[Path, ...],
    method: str,
    temperatures: bool,
    data: str | None,
    top: int | None,
    classifier: str | None,
    late: bool,
    seed: int,
    out: Path,
    name: str | None,
    as_json: bool,
) -> None:
    """Combine several runs into one model and write a run folder.

    RUN is a run folder, a .keras file, or a folder of `kerastricks tune`. A run that kept several models (--snapshots,
    --set keep="top(3)") stands for all of them.

    Without --method, validation images decide: the simplest way that is as good as any, with or without temperatures,
    be it the best member alone. A method that is named does what its name says: mean is the plain mean of
    probabilities. soup averages weights and needs members of one architecture; fuse puts a classifier on the features
    of all members, which may know other classes.
    """
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS, "kerastricks ensemble --help")
    if method != "fuse" and (classifier is not None or late):
        raise EnsembleError(f"--classifier and --late are for --method fuse. Received: --method {method}")
    if temperatures and method in ("auto", "stack"):
        why = "without --method they are tried anyway" if method == "auto" else "stack scales by its kernel"
        raise EnsembleError(f"--temperatures is for --method mean and others: {why}. Received: --method {method}")
    if classifier is not None and classifier not in CLASSIFIERS:
        raise UnknownNameError("classifier", classifier, CLASSIFIERS, "kerastricks ensemble --help")
    if not 0 <= seed < 2**31:
        raise EnsembleError(f"--seed must be in [0, 2^31). Received: {seed}")
    for path in runs:
        if not path.exists():
            raise RunFolderError(f"{path}: no such run folder or .keras file")
    if data is not None:
        check_source(data)
    paths = [inner for path in runs for inner in _expand(path, top)]
    from kerastricks.cli.quiet import import_keras

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs.ensemble_run import ensemble as make

    record = make(
        paths,
        method=method,
        temperatures=temperatures,
        data=data,
        classifier=classifier or CLASSIFIERS[0],
        late=late,
        seed=seed,
        out=out,
        name=name,
        say=screen.say,
        progress=screen.bar,
    )
    if as_json:
        click.echo(json.dumps(record.summary.to_json(), indent=2))
        return
    _show(record)


def _expand(path: Path, top: int | None) -> list[Path]:
    """Replace the folder of a search by the runs that it kept, best first."""
    if not (path / "search.json").is_file():
        if top is not None:
            raise EnsembleError(f"--top is for a folder of `kerastricks tune`. Received: {path}")
        return [path]
    from kerastricks.search.search_record import members_of

    return members_of(path, top)


def _show(record: "RunRecord") -> None:
    from rich.table import Table

    from kerastricks.cli import screen

    run, summary = record.folder, record.summary
    report = summary.ensemble
    if report is None:
        raise RunFolderError(f"{run.path}: is no ensemble")
    table = Table("", box=None, pad_edge=False)
    for title in ("weight", "accuracy", "log-loss", "at own T", "ECE", "ms", "images/s", "MB"):
        table.add_column(title, justify="right")
    for member in report.members:
        weight = "" if member.weight is None else f"{member.weight:.2f}"
        table.add_row(member.name, weight, *_scores(member.test, member.test_at_own_temperature), *_cost(member))
    mean = report.mean_member
    if mean is not None:
        table.add_row("mean member", "", *_scores(mean.test, mean.test_at_own_temperature), style="dim")
    combined = report.combined  # its temperature is part of the model
    table.add_row(report.method, "", *_scores(combined.test, None), *_cost(combined), style="bold")
    chosen = report.chosen_on
    screen.output.print(f"{report.reason} ({chosen.images:,} validation images)", soft_wrap=True)
    screen.output.print(f"on {summary.images:,} test images of {summary.data['name']}:")
    screen.output.print(table)
    own = " at its own temperature" if report.at_own_temperature else ""
    for text, gain in (("the mean member", report.gain_over_mean), ("the best member", report.gain_over_best)):
        if gain is None:  # features alone were asked of the members
            continue
        screen.output.print(
            f"log-loss below {text}{own}: {_signed(gain.value)} ({_signed(gain.low)} to "
            f"{_signed(gain.high)}), {round(gain.share, 2) + 0.0:.0%}",
            soft_wrap=True,
        )
    if report.disagreement is not None:
        screen.output.print(f"members disagree on {report.disagreement:.1%} of the images")
    screen.output.print(f"  model       {run.model}", soft_wrap=True)
    screen.output.print(f"  SavedModel  {run.path / summary.saved_model}", soft_wrap=True)
    screen.output.print(f"  plot        {run.path / 'ensemble.png'}", soft_wrap=True)
    screen.output.print(f"  summary     {run.summary}", soft_wrap=True)
    screen.output.print(f"  smaller     kerastricks distill {run.path}", soft_wrap=True)


def _scores(test: "QualityReport | None", own: "QualityReport | None") -> list[str]:
    """Format scores on test, as they are and at an own temperature."""
    if test is None:
        return ["features", "only", "", ""]
    return [
        f"{test.accuracy:.2%}",
        f"{test.log_loss:.3f}",
        "" if own is None else f"{own.log_loss:.3f}",
        f"{test.calibration_error:.3f}",
    ]


def _cost(of: "MemberReport | CombinedReport") -> list[str]:
    return [f"{of.latency_ms:.1f}", f"{of.images_per_second:,.0f}", f"{of.megabytes:.1f}"]


def _signed(value: float) -> str:
    """Format with three digits, without a minus before zero."""
    return f"{round(value, 3) + 0.0:.3f}"

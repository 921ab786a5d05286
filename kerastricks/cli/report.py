"""kerastricks report"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerastricks.cli import job_options, options
from kerastricks.errors import UsageError

if TYPE_CHECKING:
    from kerastricks.report.figures import RunFigures

_MOST_PAIRS = 5


@click.command()
@click.argument("runs", nargs=-1, required=True, type=options.PATH, metavar="RUN...")
@click.option(
    "-o",
    "--out",
    type=options.OutputFile(".html"),
    metavar="FILE",
    help="A new .html file.  [default: report.html in the folder of a single run]",
)
@click.option("--data", type=options.SOURCE, help="Where the images are now.  [default: where each run was trained]")
@job_options.as_json("Print the figures as JSON; a page is only written with -o.")
def report(runs: tuple[Path, ...], out: Path | None, data: str | None, as_json: bool) -> None:
    """Write a page about finished runs: report.html.

    Findings of the doctor, curves, scores, confusions, calibration, the most confident mistakes and the configuration,
    in one HTML file that loads nothing. Several runs are shown beside each other.

    \b
    kerastricks report saved_models/RUN
    kerastricks report saved_models/five-s* -o five.html
    """
    from kerastricks.runs.folder import RunFolder

    for run in runs:  # what is wrong is refused before anything slow
        folder = RunFolder.open(run)
        folder.read(folder.summary)
    if len(runs) > 1 and out is None and not as_json:
        raise UsageError(f"a report of {len(runs)} runs belongs to none of their folders: name a file with -o")
    from kerastricks.cli.quiet import import_keras

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs import report_job

    records = report_job.open_runs(runs)
    if as_json and out is None:
        figures = report_job.gather_figures(records, data=data, progress=screen.bar)
        click.echo(json.dumps({"page": None, "runs": [run.to_json() for run in figures]}, indent=2))
        return
    written = report_job.report(records, out, data=data, say=screen.say, progress=screen.bar)
    if as_json:
        click.echo(json.dumps(written.to_json(), indent=2))
        return
    for one in written.runs:
        _print(one)
    screen.output.print(str(written.path), soft_wrap=True)


def _print(run: "RunFigures") -> None:
    from kerastricks.cli import screen

    error = "" if run.calibration is None else f", calibration error {run.calibration.error:.3f}"
    screen.output.print(
        f"{run.name}: accuracy {run.scores['accuracy']:.2%}, balanced {run.scores['balanced_accuracy']:.2%}, "
        f"log-loss {run.scores['log_loss']:.3f}{error}",
        soft_wrap=True,
    )
    names = run.class_names
    pairs = [f"{names[pair.true]} as {names[pair.predicted]} {pair.images}" for pair in run.pairs(_MOST_PAIRS)]
    if pairs:
        screen.output.print(f"  most confused: {', '.join(pairs)}", soft_wrap=True)
    for note in run.notes:
        screen.say(f"  {note}")

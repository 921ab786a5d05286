"""kerastricks check labels"""

import json
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import job_options, options, quiet
from kerastricks.errors import UsageError


@click.command()
@job_options.source("data")
@click.option("--folds", type=options.number(2, 100), metavar="N", help="Trainings, on all but 1/N each.  [default: 4]")
@job_options.model()
@job_options.augment()
@job_options.classes()
@job_options.group()
@job_options.epochs()
@job_options.batch_size()
@job_options.image_size()
@job_options.seed()
@options.assignments
@click.option(
    "--limit", type=options.number(0, 1_000_000), metavar="N", default=20, show_default=True, help="Suspects to print."
)
@click.option("--out", type=options.OutputFile(streams=True), metavar="CSV", help="New file for all suspects.")
@click.option("--plot", type=options.PNG, metavar="PNG", help="Also plot suspects by pair of classes.")
@click.option(
    "--folder",
    type=options.PATH,
    metavar="DIR",
    help="New folder of the trainings.  [default: saved_models/labels-MODEL-DATA-NUMBER]",
)
@click.option("--resume", type=options.PATH, metavar="DIR", help="Resume an interrupted check.")
@job_options.as_json("Print JSON, with all suspects.")
def labels(
    data: str | None,
    folds: int | None,
    limit: int,
    out: Path | None,
    plot: Path | None,
    folder: Path | None,
    resume: Path | None,
    as_json: bool,
    assignments: tuple[str, ...],
    **given: Any,
) -> None:
    """Find images whose labels are probably wrong, by confident learning.

    DATA is what `kerastricks train` takes, a recipe too; so are the fields of --set. A network is trained for each fold
    of the training and validation images and predicts what it has not seen. Needs cleanlab: pip install
    "kerastricks[labels]".

    \b
    kerastricks check labels path/to/images/ --out suspects.csv
    kerastricks check labels digits --folds 5 --epochs 10
    """
    fields = job_options.given_fields(assignments, **given)
    job: dict[str, Any] = {}
    if resume is None:
        from kerastricks.runs.configuration import check_early, configure

        if data is None and "data" not in fields:
            raise UsageError("DATA is missing: a folder or zip of images, or a recipe: kerastricks recipe list")
        source = job_options.find_recipe(data) or data if data is not None else None
        config, recipe = configure(source, None, fields)
        check_early(config, recipe)
        job = {"source": recipe, "config": config, "folds": folds, "folder": folder}
    else:
        twice = {"DATA": data, "--folds": folds, "--folder": folder}
        for name, value in twice.items():
            if value is not None:
                raise UsageError(f"{name} and --resume exclude each other: the folder knows how it began")
        job = {"resume": resume, **fields}
    from kerastricks.checks.label_check import import_cleanlab

    import_cleanlab()  # what is missing is said before anything slow
    quiet.import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs.label_run import find_wrong_labels

    report = find_wrong_labels(**job, say=screen.say, progress=screen.bar)
    if plot is not None:
        report.plot(plot)
    if out is not None:
        options.write_output(out, report.write_csv)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
        return
    click.echo(report.to_text(limit))
    if out is None and len(report.suspects) > limit:
        screen.say(f"all {len(report.suspects):,}: suspects.csv in the folder, or --out FILE.csv")

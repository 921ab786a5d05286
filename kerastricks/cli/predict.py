"""kerastricks predict"""

import csv
import json
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.errors import RunFailedError
from kerastricks.runs.prediction import image_files


@click.command()
@click.argument("run", type=options.RUN)
@click.argument("images", nargs=-1, required=True, type=options.IMAGES)
@click.option(
    "--csv",
    "csv_path",
    type=options.OutputFile(streams=True),
    help="New file, pipe or device for all probabilities.",
)
@job_options.as_json("Print JSON, one object a line.")
def predict(run: Path, images: tuple[Path, ...], csv_path: Path | None, as_json: bool) -> None:
    """Classify IMAGES (files, or folders with everything in them) with the run folder RUN."""
    files = image_files(run, images)
    from kerastricks.cli.quiet import import_keras

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.serving.served_model import ServedModel

    served = ServedModel(run)
    rows: list[list[Any]] = []
    unusable = 0
    with screen.bar("classifying", len(files)) as advance:
        for found in served.predict(files):
            advance(1)
            if found.probabilities is None:
                unusable += 1
                click.echo(f"{found.file}: left out: {found.error}", err=True)
                continue
            values = [round(float(value), 6) for value in found.probabilities]
            rows.append([str(found.file), found.label, max(values), *values])
            if as_json:
                line = {"file": str(found.file), "label": found.label, "probability": max(values)}
                click.echo(json.dumps({**line, "probabilities": dict(zip(served.class_names, values, strict=True))}))
    if csv_path is not None and rows:
        header = ["file", "label", "probability", *served.class_names]
        options.write_output(csv_path, lambda file: csv.writer(file).writerows([header, *rows]))
        click.echo(f"{len(rows)} rows in {csv_path}", err=True)
    elif not as_json:
        width = max((len(row[0]) for row in rows), default=0)
        for file, label, probability, *_ in rows:
            click.echo(f"{file:{width}}  {label}  {probability:.3f}")
    if not rows:
        raise RunFailedError(f"none of {len(files)} file(s) could be used")
    if unusable:
        click.echo(f"{unusable} of {len(files)} file(s) left out", err=True)

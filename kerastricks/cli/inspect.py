"""kerastricks inspect"""

import json
from pathlib import Path

import click

from kerastricks.cli import job_options, options


@click.command()
@click.argument("file", type=options.PATH, metavar="FILE")
@job_options.as_json("Print JSON, with all layers and findings.")
@click.pass_context
def inspect(context: click.Context, file: Path, as_json: bool) -> None:
    """Inspect a model file from anybody, without running anything of it.

    FILE is a .keras or HDF5 file of Keras 1 to 3, recognised by its bytes, or the folder of a SavedModel. Shows format
    and version, layers, parameters, memory, custom objects, optimizer, losses and metrics, and what is refused: code,
    unknown classes, links, addresses, and sizes beyond what is stored. Keras and TensorFlow are not imported.

    Exit code: 0 where nothing is refused, 1 where something is, 2 where FILE is damaged or no model.

    \b
    kerastricks inspect model.keras
    kerastricks inspect model.h5 --json
    """
    from kerastricks.interop.inspection import inspect as inspect_file

    report = inspect_file(file)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else str(report))
    if report.refused:
        context.exit(1)

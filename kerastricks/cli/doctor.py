"""kerastricks doctor"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerastricks.cli import job_options, options
from kerastricks.errors import UsageError

if TYPE_CHECKING:
    from kerastricks.doctor.finding import Finding

_IMAGES = 2048  # that the network is run on


@click.command()
@click.argument("log", type=options.PATH, metavar="LOG")
@click.argument("more", type=options.PATH, required=False, metavar="[LOG]")
@click.option(
    "--columns",
    type=options.TEXT,
    metavar="NAME=COLUMN,...",
    help='Columns with names of their own: loss="Train Robust Loss",val_loss="Test Robust Loss".',
)
@click.option("--optimizer", type=options.TEXT, metavar="NAME", help="Optimizer of a log that does not say: sgd, adam.")
@click.option("--classes", type=options.number(2, 1_000_000), help="Number of classes of a log that does not say.")
@click.option(
    "--network", is_flag=True, help="Also run the network of a run folder on its images: dead units, gradients."
)
@click.option("--labels", type=options.PATH, metavar="FOLDER", help="Also the labels that `check labels` suspects.")
@click.option("--plot", type=options.PNG, metavar="PNG", help="Also plot the curves with the findings marked.")
@job_options.as_json("Print the findings as JSON.")
def doctor(
    log: Path,
    more: Path | None,
    columns: str | None,
    optimizer: str | None,
    classes: int | None,
    network: bool,
    labels: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Diagnose a training by its log: learning rate, batch size, fit, length, failures.

    LOG is a run folder, a CSV with a header, JSON or JSON lines, or event files of TensorBoard: of Keras, Lightning,
    the Hugging Face Trainer, fastai, Ultralytics, timm, or any other with --columns. Losses of steps and of epochs may
    be in two files. Each finding has its evidence, a confidence, and one next step.

    \b
    kerastricks doctor saved_models/RUN --plot doctor.png
    kerastricks doctor saved_models/RUN --network
    kerastricks doctor history.csv --optimizer adam
    kerastricks doctor steps.csv epochs.csv --columns loss=train_ce --json
    """
    from dataclasses import replace

    from kerastricks.doctor.columns import parse_columns
    from kerastricks.doctor.diagnosis import diagnose
    from kerastricks.doctor.reading import read_label_findings, read_log

    found = read_log(log, more, columns=parse_columns(columns) if columns else None)
    if optimizer is not None:
        if not optimizer.isidentifier():
            raise UsageError(f"--optimizer {optimizer!r}: must be a name, sgd or adam")
        found = replace(found, optimizer=optimizer.lower())
    if classes is not None:
        found = replace(found, classes=classes)
    of_labels = read_label_findings(labels) if labels is not None else []
    diagnosis = diagnose(found, [*of_labels, *(_of_network(log) if network else [])])
    if plot is not None:
        diagnosis.plot(plot)
    if as_json:
        click.echo(json.dumps(diagnosis.to_json(), indent=2))
        return
    click.echo(str(diagnosis))


def _of_network(run: Path) -> "list[Finding]":
    """Findings that need the network of a run, and its images."""
    from kerastricks.cli.check import Subject
    from kerastricks.cli.quiet import import_keras

    if not run.is_dir():
        raise UsageError(f"--network is for run folders. Received: {run}")
    subject = Subject(str(run), images=_IMAGES)
    import_keras()
    from kerastricks.checks.diagnosis_findings import network_findings

    model, images, labels = subject.load()
    return network_findings(model, images, labels, batch_size=int(subject.config["batch_size"]))

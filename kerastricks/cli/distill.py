"""kerastricks distill"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import RunFolderError, UsageError

if TYPE_CHECKING:
    from kerastricks.runs.record import RunRecord


@click.command()
@click.argument("teacher", required=False, type=options.RUN)
@click.argument("source", required=False, type=options.SOURCE, metavar="[DATA]")
@job_options.model('The student: "resnet_20(width=8)".  [default: plain_cnn]')
@click.option(
    "--temperature",
    type=options.number(0, 1000, whole=False, above=True),
    help="Temperature of the soft targets, above 0.  [default: 4]",
)
@click.option(
    "--hard-weight",
    type=options.SHARE,
    metavar="SHARE",
    help="Weight of the labels in the loss, 0 to 1.  [default: 0.1]",
)
@job_options.augment('"flip | pad_crop(4)"; "" for none.')
@job_options.epochs()
@job_options.seed("Seed of weights, order and augmentation; the splits are the teacher's.")
@options.assignments
@options.out
@job_options.name("MODEL-DATA-NUMBER")
@job_options.resume
@job_options.as_json("Print the summary as JSON.")
def distill(
    teacher: Path | None,
    source: str | None,
    model: str | None,
    temperature: float | None,
    hard_weight: float | None,
    augment: str | None,
    epochs: int | None,
    seed: int | None,
    assignments: tuple[str, ...],
    out: Path,
    name: str | None,
    resume: Path | None,
    as_json: bool,
) -> None:
    """Distill TEACHER into a smaller model and write a run folder.

    TEACHER is a run folder, of an ensemble or of a single model, or a .keras file. DATA is by default what it was
    trained on, with the same splits: its test images stay unseen.

    \b
    kerastricks distill saved_models/ENSEMBLE --model "resnet_20(width=8)" --epochs 30
    """
    from kerastricks.models.catalog import MODELS
    from kerastricks.spec import parse
    from kerastricks.training.config import Config

    fields = job_options.given_fields(assignments, data=source, model=model, augment=augment, epochs=epochs, seed=seed)
    if resume is not None and (
        teacher is not None or set(fields) - {"data"} or temperature is not None or hard_weight is not None
    ):
        raise UsageError(
            f"{resume}: a run is resumed as it began: --resume goes without TEACHER and settings (but --set data=PATH, "
            "where the same data have moved)"
        )
    if resume is None:
        if teacher is None:
            raise UsageError("TEACHER is missing: a run folder or a .keras file")
        if not teacher.expanduser().exists():
            raise RunFolderError(f"{teacher}: no such run folder or .keras file")
        MODELS.check(parse(Config(**fields).model).name)  # an unknown name is refused before anything slow
        if "data" in fields:
            check_source(str(fields["data"]))

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs.distillation_run import distill as distill_run

    job: dict[str, Any] = {"resume": resume, "say": screen.say, "progress": screen.bar}
    if resume is None:
        job |= {"teacher": teacher, "temperature": temperature, "hard_weight": hard_weight, "out": out, "name": name}
    _report(distill_run(**job, **fields), as_json)


def _report(record: "RunRecord", as_json: bool) -> None:
    from kerastricks.cli import screen

    run, summary = record.folder, record.summary
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
        return
    if summary.distillation is None:
        raise RunFolderError(f"{run.path}: is no distillation")
    report = summary.distillation
    screen.output.print(f"{'':9} test accuracy  balanced  log-loss      weights")
    for name, found, parameters in (
        ("teacher", report.teacher_test, report.teacher_parameters),
        ("student", report.student_test, report.student_parameters),
    ):
        screen.output.print(
            f"{name:9} {found.accuracy:13.2%}  {found.balanced_accuracy:8.2%}  {found.log_loss:8.4f}  {parameters:11,}"
        )
    share = report.student_parameters / report.teacher_parameters
    screen.output.print(
        f"the student has {share:.1%} of the weights (scores on {summary.images:,} test images; what a training "
        "without a teacher gives is not known here: kerastricks train)",
        soft_wrap=True,
    )
    screen.output.print(f"  model       {run.model}", soft_wrap=True)
    screen.output.print(f"  SavedModel  {run.path / summary.saved_model}", soft_wrap=True)
    screen.output.print(f"  summary     {run.summary}", soft_wrap=True)
    screen.output.print(f"  use it      kerastricks predict {run.path} IMAGE ...", soft_wrap=True)

"""kerastricks finetune"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.job_options import find_recipe
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import ConfigError, RunFolderError, UsageError

if TYPE_CHECKING:
    from kerastricks.runs.record import RunRecord


@click.command()
@job_options.source(metavar="DATA")
@click.option(
    "--backbone",
    type=options.MODEL,
    metavar="SPEC",
    help="efficientnet_lite0, applications/NAME, a run, a .keras file.",
)
@click.option("--from", "from_run", type=options.RUN, metavar="RUN", help="A run of yours as backbone.")
@click.option(
    "--weights", type=options.SOURCE, metavar="NAME|PATH", help="Weights of a backbone of the zoo.  [default: imagenet]"
)
@click.option(
    "--plan",
    type=options.TEXT,
    metavar="PLAN",
    help="auto, linear, last, all, earlier, small, scratch, two_stage or decoupled.  [default: auto]",
)
@click.option(
    "--rare-below",
    type=options.number(1, 1_000_000_000),
    metavar="N",
    help="With --plan two_stage: classes with fewer training images are rare.  [default: by their numbers]",
)
@click.option(
    "--rare-only", is_flag=True, help="With --plan two_stage: only rare classes in the second part, as published."
)
@job_options.minutes("Measure and train so long.  [default: 5 where --plan is auto]")
@click.option(
    "--head", type=options.TEXT, metavar="UNITS", help='Dense layers before the last one: "256,128".  [default: none]'
)
@click.option("--scratch", is_flag=True, help="Train from random weights too, to compare with.")
@job_options.image_size("That the backbone sees.  [default: its own]")
@job_options.augment('Augmentation of training images; "" for none.')
@job_options.classes('Only these of the data: "cat,dog".')
@job_options.group()
@job_options.imbalance()
@job_options.epochs("Passes over the training images; with --plan auto, at most.")
@job_options.seed()
@options.assignments
@options.out
@job_options.name("BACKBONE-finetuned-DATA-NUMBER")
@job_options.resume
@options.cache_dir
@job_options.as_json("Print the summary as JSON.")
def finetune(
    source: str | None,
    backbone: str | None,
    from_run: Path | None,
    weights: str | None,
    plan: str | None,
    rare_below: int | None,
    rare_only: bool,
    minutes: float | None,
    head: str | None,
    scratch: bool,
    image_size: int | None,
    augment: str | None,
    classes: str | None,
    group: str | None,
    imbalance: str | None,
    epochs: int | None,
    seed: int | None,
    assignments: tuple[str, ...],
    out: Path,
    name: str | None,
    resume: Path | None,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Fine-tune a pretrained network on DATA by the best strategy, and write a run folder.

    It measures the features of the backbone, tries a small network from random weights, the last levels and all levels
    for a short time each, stops those that cannot win on validation, and spends the remaining --minutes on the best.
    The result is the one that validates best, never below the linear probe or the small network; the choice, its
    evidence and the figures of the others are printed.

    \b
    kerastricks finetune path/to/images/
    kerastricks finetune path/to/images/ --minutes 20
    kerastricks finetune images.zip --backbone applications/EfficientNetV2B0 --plan all
    kerastricks finetune other/images/ --from saved_models/RUN
    kerastricks finetune imbalanced/images/ --plan decoupled
    """
    from kerastricks.finetuning.settings import Settings
    from kerastricks.runs.configuration import fields_of_data
    from kerastricks.training.config import check_field

    if backbone is not None and from_run is not None:
        raise UsageError("--backbone and --from exclude each other: --from is a backbone that is a run")
    fields = job_options.given_fields(
        assignments,
        augment=augment,
        classes=classes,
        group=group,
        imbalance=imbalance,
        epochs=epochs,
        image_size=image_size,
        seed=seed,
    )
    wanted: dict[str, Any] = {
        "backbone": str(from_run) if from_run is not None else backbone,
        "weights": weights,
        "strategy": plan,
        "minutes": minutes,
        "head": parse_head(head) if head is not None else None,
        "scratch": scratch or None,
        "rare_below": rare_below,
        "rare_only": rare_only or None,
    }
    wanted = {field: value for field, value in wanted.items() if value is not None}
    settings = Settings(**wanted)
    if "model" in fields:
        raise UsageError("--set model: the network is the backbone: --backbone")
    if resume is not None and (source is not None or set(fields) - {"data"} or wanted):
        raise UsageError(
            f"{resume}: a run is resumed as it began: --resume goes without DATA and settings (but --set "
            "data=PATH, where the same data have moved)"
        )
    if resume is None:
        if source is None and "data" not in fields:
            raise UsageError("DATA is missing: a folder or zip of images, or a data set: kerastricks train --help")
        recipe = find_recipe(source) if source is not None else None
        found = {**fields_of_data(recipe or source), **fields}
        if "data" not in found:
            raise UsageError(f"{source}: CONFIG names no data: give it on the command line, --set data=PATH")
        for field in fields:
            check_field(field)
        if recipe is None:
            check_source(str(found["data"]))
        _check_backbone(settings.backbone, from_run is not None)
    if "minutes" in fields:
        raise UsageError("--set minutes: a fine-tuning has --minutes for that")

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs.finetuning_run import finetune as finetune_run

    job: dict[str, Any] = {"resume": resume, "cache_dir": cache_dir, "say": screen.say, "progress": screen.bar}
    if resume is None:
        job |= {"source": recipe or source, "out": out, "name": name, **wanted}
    _report(finetune_run(**job, **fields), as_json)


def parse_head(text: str) -> tuple[int, ...]:
    """ "256,128" to (256, 128)."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f'--head must be units of layers, "256,128". Received: {text!r}') from None


def _check_backbone(backbone: str, is_run: bool) -> None:
    """Refuse an unknown name before anything slow."""
    from kerastricks.models.catalog import MODELS
    from kerastricks.spec import parse

    if os.path.exists(os.path.expanduser(backbone)):
        return
    if is_run or backbone.endswith(".keras") or backbone.startswith((".", "/", "~", "saved_models/")):
        raise RunFolderError(f"{backbone}: no such run or file")
    MODELS.check(parse(backbone).name)


def _report(record: "RunRecord", as_json: bool) -> None:
    from kerastricks.cli import screen

    run, summary = record.folder, record.summary
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
        return
    report = summary.finetuning
    if report is None:
        raise RunFolderError(f"{run.path}: is no fine-tuning")
    probe = report.linear_probe_validation_accuracy
    screen.output.print(
        f"plan {report.choice.strategy}, kept {report.kept}: "
        f"validation accuracy {report.validation_accuracy:.2%} (linear probe {probe:.2%})"
    )
    if report.validation_balanced_accuracy is not None:
        probe = report.linear_probe_validation_balanced_accuracy or 0.0
        screen.output.print(
            f"  balanced validation accuracy {report.validation_balanced_accuracy:.2%} (linear probe {probe:.2%})"
        )
    for name, other in report.compared.items():
        screen.output.print(f"  {name:10}  validation accuracy {other.validation_accuracy:.2%}")
    for name, verdict in (report.verdicts or {}).items():
        screen.output.print(f"  {name:10}  {verdict}", soft_wrap=True)
    screen.output.print(
        f"test accuracy {summary.accuracy:.2%}, balanced {summary.balanced_accuracy:.2%}, "
        f"log-loss {summary.log_loss:.3f} ({summary.images:,} images)"
    )
    screen.output.print(f"  model       {run.model}", soft_wrap=True)
    screen.output.print(f"  SavedModel  {run.path / summary.saved_model}", soft_wrap=True)
    screen.output.print(f"  plan        {run.path / 'finetune.png'}", soft_wrap=True)
    screen.output.print(f"  summary     {run.summary}", soft_wrap=True)
    screen.output.print(f"  use it      kerastricks predict {run.path} IMAGE ...", soft_wrap=True)

"""kerastricks finetune"""

import json
import os
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import options
from kerastricks.cli.carry_out import carry_out, move_data
from kerastricks.cli.quiet import import_keras
from kerastricks.cli.train import check_source, complete_source, find_recipe
from kerastricks.errors import ConfigError, UsageError


@click.command()
@click.argument("source", required=False, metavar="DATA", type=options.SOURCE, shell_complete=complete_source)
@click.option(
    "--backbone",
    type=options.MODEL,
    metavar="SPEC",
    help="efficientnet_lite0, applications/NAME, a run, a .keras file.",
)
@click.option("--from", "from_run", type=options.PATH, metavar="RUN", help="A run of yours as backbone.")
@click.option(
    "--weights", type=options.SOURCE, metavar="NAME|PATH", help="Of a backbone of the zoo.  [default: imagenet]"
)
@click.option(
    "--plan",
    type=options.TEXT,
    metavar="PLAN",
    help="auto, linear, last, all, earlier, small or scratch.  [default: auto]",
)
@click.option(
    "--minutes",
    type=options.field("minutes"),
    metavar="N",
    help="Measure and train so long.  [default: 5 where --plan is auto]",
)
@click.option(
    "--head", type=options.TEXT, metavar="UNITS", help='Dense layers before the last one: "256,128".  [default: none]'
)
@click.option("--scratch", is_flag=True, help="Train from random weights too, to compare with.")
@click.option(
    "--image-size",
    type=options.field("image_size"),
    metavar="PIXELS",
    help="That the backbone sees.  [default: its own]",
)
@click.option("--augment", type=options.SPEC, metavar="SPEC", help='Augmentation of training images; "" for none.')
@click.option("--classes", type=options.CLASSES, metavar="NAMES", help='Only these of the data: "cat,dog".')
@click.option(
    "--epochs", type=options.field("epochs"), help="Passes over the training images; with --plan auto, at most."
)
@click.option("--seed", type=options.SEED, help="Of splits, weights, order and draws.")
@options.assignments
@options.out
@click.option("--name", type=options.NAME, help="Of the run folder.  [default: BACKBONE-finetuned-DATA-NUMBER]")
@click.option("--resume", type=options.PATH, metavar="RUN", help="Go on with an interrupted run.")
@options.cache_dir
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def finetune(
    source: str | None,
    backbone: str | None,
    from_run: Path | None,
    weights: str | None,
    plan: str | None,
    minutes: float | None,
    head: str | None,
    scratch: bool,
    image_size: int | None,
    augment: str | None,
    classes: str | None,
    epochs: int | None,
    seed: int | None,
    assignments: tuple[str, ...],
    out: Path,
    name: str | None,
    resume: Path | None,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Fine-tune a pretrained network on DATA by the plan that fits, and leave a run folder.

    It measures the features of the backbone, tries a small network from random weights, the last levels and all levels
    for a short time each, gives up what cannot win on validation, and spends the rest of --minutes on the best. It
    ends in what validates best, never below the linear probe or the small network; the plan, its evidence and the
    figures of the others are printed.

    \b
    kerastricks finetune path/to/images/
    kerastricks finetune path/to/images/ --minutes 20
    kerastricks finetune images.zip --backbone applications/EfficientNetV2B0 --plan all
    kerastricks finetune other/images/ --from saved_models/RUN
    """
    from kerastricks.finetuning.settings import Settings
    from kerastricks.training.config import check_field, parse_assignment

    if backbone is not None and from_run is not None:
        raise UsageError("--backbone and --from exclude each other: --from is a backbone that is a run")
    given: dict[str, Any] = {
        "augment": augment,
        "classes": classes,
        "epochs": epochs,
        "image_size": image_size,
        "seed": seed,
    }
    fields = {field: value for field, value in given.items() if value is not None}
    fields |= dict(parse_assignment(text) for text in assignments)
    wanted: dict[str, Any] = {
        "backbone": str(from_run) if from_run is not None else backbone,
        "weights": weights,
        "strategy": plan,
        "minutes": minutes,
        "head": parse_head(head) if head is not None else None,
        "scratch": scratch or None,
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
        # Of a recipe the data and how they are read; how it trains is for random weights.
        kept = ("data", "validation", "test", "max_pixels", "max_skipped", "classes")
        base = {"data": source} if recipe is None else {k: v for k, v in recipe.config.items() if k in kept}
        fields = {**base, **fields}
        if "data" not in fields:
            raise UsageError(f"{source}: CONFIG names no data: give it on the command line, --set data=PATH")
        for field in fields:
            check_field(field)
        if recipe is None:
            check_source(str(fields["data"]))
        _check_backbone(settings.backbone, from_run is not None)

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs.finetune import make_config, run_finetuning, start
    from kerastricks.runs.folder import RunFolder

    if resume is not None:
        run = RunFolder.open(resume)
        if "data" in fields:
            move_data(run, fields["data"])
        if run.summary.exists():
            screen.say(f"{resume}: finished already")
            _report(run, run.read(run.summary), as_json)
            return
    else:
        run = start(make_config(fields), settings, out, name)
    summary = carry_out(
        run,
        lambda: run_finetuning(run, screen.say, screen.bar, cache_dir=cache_dir),
        "kerastricks finetune --resume",
        resumed=resume is not None,
    )
    _report(run, summary, as_json)


def parse_head(text: str) -> tuple[int, ...]:
    """ "256,128" to (256, 128)."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f'--head must be units of layers, "256,128". Received: {text!r}') from None


def _check_backbone(backbone: str, is_run: bool) -> None:
    """An unknown name is refused before anything slow."""
    from kerastricks.errors import RunFolderError
    from kerastricks.models.catalog import MODELS
    from kerastricks.spec import parse

    if os.path.exists(os.path.expanduser(backbone)):
        return
    if is_run or backbone.endswith(".keras") or backbone.startswith((".", "/", "~", "saved_models/")):
        raise RunFolderError(f"{backbone}: no such run or file")
    MODELS.check(parse(backbone).name)


def _report(run: Any, summary: dict[str, Any], as_json: bool) -> None:
    from kerastricks.cli import screen

    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    report = summary["finetuning"]
    probe = report["linear_probe_validation_accuracy"]
    screen.output.print(
        f"plan {report['plan']['plan']}, kept {report['kept']}: "
        f"validation accuracy {report['validation_accuracy']:.2%} (linear probe {probe:.2%})"
    )
    for name, other in report["compared"].items():
        screen.output.print(f"  {name:10}  validation accuracy {other['validation_accuracy']:.2%}")
    for name, verdict in report.get("verdicts", {}).items():
        screen.output.print(f"  {name:10}  {verdict}", soft_wrap=True)
    screen.output.print(
        f"test accuracy {summary['accuracy']:.2%}, balanced {summary['balanced_accuracy']:.2%}, "
        f"log-loss {summary['log_loss']:.3f} ({summary['images']:,} images)"
    )
    screen.output.print(f"  model       {run.model}", soft_wrap=True)
    screen.output.print(f"  SavedModel  {run.path / summary['saved_model']}", soft_wrap=True)
    screen.output.print(f"  plan        {run.path / 'finetune.png'}", soft_wrap=True)
    screen.output.print(f"  summary     {run.summary}", soft_wrap=True)
    screen.output.print(f"  use it      kerastricks predict {run.path} IMAGE ...", soft_wrap=True)

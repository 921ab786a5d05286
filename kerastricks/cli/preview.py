"""kerastricks preview"""

import json
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.job_options import find_recipe
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import UsageError


@click.command()
@job_options.source("data", required=True)
@job_options.augment('"flip | pad_crop(4) | fancy_pca(0.1)"; "" for none.  [default: auto]')
@click.option("--images", type=options.number(1, 10_000), default=8, show_default=True, help="Rows of the picture.")
@click.option(
    "--draws", type=options.number(1, 10_000), default=7, show_default=True, help="Augmented versions of each."
)
@click.option("--out", type=options.PNG, metavar="PNG", help="[default: preview.png, preview-2.png, ...]")
@job_options.seed("Seed of splits, choice and augmentation.")
@job_options.image_size()
@click.option(
    "--seconds", type=options.SECONDS, default=3.0, show_default=True, help="Duration of the measurement; 0 for none."
)
@options.assignments
@job_options.as_json()
def preview(
    data: str,
    augment: str | None,
    images: int,
    draws: int,
    out: Path | None,
    seed: int | None,
    image_size: int | None,
    seconds: float,
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Plot training images of DATA beside augmented versions of them, and time the augmentation.

    DATA is what `kerastricks train` takes; of a recipe, its augmentation is shown. The picture is a PNG; none is
    overwritten.

    \b
    kerastricks preview path/to/images/ --augment "flip | random_resized_crop | fancy_pca(0.1)"
    kerastricks preview digits
    """
    from kerastricks.training.config import Config

    flags = job_options.given_fields(assignments, augment=augment, seed=seed, image_size=image_size)
    recipe = find_recipe(data)
    config = Config.from_layers(recipe.config if recipe is not None else {"data": data}, flags)
    if config.data is None:
        raise UsageError(f"{data}: CONFIG names no data: give it on the command line, --set data=PATH")
    if recipe is None:
        check_source(str(config.data))
    if out is None:
        options.free_name("preview.png")  # whether there can be one

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.data.inspection.previewing import preview as write_preview
    from kerastricks.training.datasets import load_data

    if config.augment != "auto":
        _check_arguments(config.augment)
    loaded = load_data(config.data, config, screen.bar)
    for line in loaded.left_out():
        screen.say(line)
    report = write_preview(loaded, out or options.free_name("preview.png"), images=images, draws=draws, seconds=seconds)
    if as_json:
        found: dict[str, Any] = {**report.to_json(), "augment_given": config.augment, "skipped": len(loaded.skipped)}
        click.echo(json.dumps(found, indent=2))
        return
    if config.augment == "auto":
        screen.say(f"augment auto is {report.augment!r} here")
    click.echo(report.to_text())


def _check_arguments(augment: str) -> None:
    """Refuse an illegal argument of an op before any image is read."""
    from kerastricks.augment import sequence

    sequence.read(augment, None)

"""kerastricks plan"""

import json
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.job_options import complete_source, find_recipe
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import UsageError


@click.command()
@click.argument("spec", type=options.SPEC)
@click.option(
    "--data",
    required=True,
    type=options.SOURCE,
    shell_complete=complete_source,
    help="Images, as for `kerastricks train`.",
)
@job_options.batch_size("Images in a batch.", metavar="IMAGES")
@job_options.image_size()
@job_options.seed("Seed of splits, order and augmentation.")
@click.option(
    "--seconds", type=options.SECONDS, default=3.0, show_default=True, help="Duration of the measurement; 0 for none."
)
@options.assignments
@job_options.as_json()
def plan(
    spec: str,
    data: str,
    batch_size: int | None,
    image_size: int | None,
    seed: int | None,
    seconds: float,
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the execution plan of the augmentation SPEC on DATA: fused steps and their cost.

    \b
    kerastricks plan "flip | pad_crop(4) | fancy_pca(0.1)" --data path/to/images/
    kerastricks plan auto --data digits
    """
    from kerastricks.augment import sequence
    from kerastricks.training.config import Config

    flags = job_options.given_fields(assignments, batch_size=batch_size, image_size=image_size, seed=seed)
    if "augment" in flags:
        raise UsageError("--set augment: the augmentation is SPEC")
    recipe = find_recipe(data)
    base = recipe.config if recipe is not None else {"data": data}
    config = Config.from_layers(base, {**flags, "augment": spec})
    if config.data is None:
        raise UsageError(f"{data}: CONFIG names no data: give it on the command line, --set data=PATH")
    if spec != "auto":
        sequence.read(spec, None)  # what needs no images is refused before any is read
    if recipe is None:
        check_source(str(config.data))

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.data.inspection.profiling import profile_pipeline
    from kerastricks.training.datasets import load_data

    loaded = load_data(config.data, config, screen.bar)
    for line in loaded.left_out():
        screen.say(line)
    report = profile_pipeline(loaded, seconds=seconds, progress=screen.bar)
    if as_json:
        found: dict[str, Any] = {**report.to_json(), "augment_given": spec, "skipped": len(loaded.skipped)}
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(report.to_text())

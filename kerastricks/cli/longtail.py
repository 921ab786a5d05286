"""kerastricks longtail"""

import json
from pathlib import Path

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.files import check_new_folder


@click.command()
@job_options.source("data", required=True)
@click.argument("out", type=options.PATH)
@click.option(
    "--ratio",
    type=options.number(1, 1_000_000, whole=False),
    metavar="N",
    default=100,
    show_default=True,
    help="Images of the largest class over those of the smallest one.",
)
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Seed of the choice of images.")
@job_options.as_json()
def longtail(data: str, out: Path, ratio: float, seed: int, as_json: bool) -> None:
    """Make the standard long-tailed subset of the training images of DATA, in the new folder OUT.

    In the order of the classes, class i of C keeps n * RATIO^(-i/(C-1)) images, rounded down, where n is the size of
    the largest one. Validation and test splits stay whole. OUT gets long_tail.csv, which names the files; images that
    are no files of their own are packed into OUT.

    \b
    kerastricks longtail cifar10 tail/ --ratio 100      12,406 training images, as published
    kerastricks train tail/
    """
    check_new_folder(out)
    recipe = job_options.find_recipe(data)
    source = data if recipe is None else str(recipe.data)
    check_source(source)

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.data.long_tail import write_long_tail
    from kerastricks.runs.resumable import sigterm_interrupts

    with sigterm_interrupts():
        found = write_long_tail(source, out, ratio=ratio, seed=seed, progress=screen.bar)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    for record in found.skipped:
        screen.say(f"left out: {record['file']} ({record['reason']})")
    for name, (share, have) in found.short.items():
        screen.say(f"class {name!r} has {have:,} training images, fewer than its share of {share:,}: all are taken")
    if "test" not in found.images:
        screen.say(f"{found.name} has no test split: the one that a training makes has the long tail, too")
    images = ", ".join(f"{split} {count:,}" for split, count in found.images.items())
    screen.output.print(
        f"{len(found.class_names)} classes of {max(found.counts):,} to {min(found.counts):,} training images; "
        f"images: {images}",
        soft_wrap=True,
    )
    screen.output.print(f"  train on it  kerastricks train {found.data}", soft_wrap=True)

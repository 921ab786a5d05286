"""kerastricks data"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerastricks.cli import job_options, options
from kerastricks.data.sources.names import check_source

if TYPE_CHECKING:
    from kerastricks.data_check.pass_over_images import Listing, Measured


@click.command()
@job_options.source("data", required=True)
@click.option("--labels", is_flag=True, help="Look for wrong labels too; needs the extras weights and labels.")
@click.option(
    "--limit", type=options.number(0, 1_000_000), metavar="N", default=3, show_default=True, help="Findings to print."
)
@click.option("--state", type=options.PATH, metavar="FILE", help="File of the images looked at so far, to resume.")
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Seed of the search for near duplicates.")
@job_options.as_json("Print JSON, with all findings.")
def data(data: str, labels: bool, limit: int, state: Path | None, seed: int, as_json: bool) -> None:
    """Check the images of DATA before the first training.

    Shows classes, sizes, formats and colours, and finds unreadable files, exact and near duplicates in a class, between
    classes and between splits, blank, dark, bright, blurred, tiny and odd-shaped images, and wrong labels. DATA is what
    `kerastricks train` takes; nothing in it is touched. Ctrl-C keeps what was looked at so far in a file that --state
    resumes.

    \b
    kerastricks data path/to/images/
    """
    recipe = job_options.find_recipe(data)
    source = data if recipe is None else recipe.data
    check_source(str(source))
    from kerastricks.cli.quiet import import_keras

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.data_check.checking import check_data
    from kerastricks.runs.resumable import sigterm_interrupts

    def interrupted(listing: "Listing", measured: "Measured") -> None:
        path = state
        if path is None:
            path = options.free_name(f"{listing.source.name}.check")
            measured.save(path, listing.fingerprint)
        screen.say(f"{measured.begun:,} of {len(listing):,} images were looked at; resume with --state {path}")

    with sigterm_interrupts():
        report = check_data(source, labels=labels, state=state, seed=seed, interrupted=interrupted, progress=screen.bar)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        click.echo(report.to_text(limit))

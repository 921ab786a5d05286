"""kerastricks data"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerastricks.cli import job_options, options
from kerastricks.data.sources.names import check_source
from kerastricks.files import check_new_folder

if TYPE_CHECKING:
    from kerastricks.data_check.pass_over_images import Listing, Measured


@click.command()
@job_options.source("data", required=True)
@click.option("--labels", is_flag=True, help="Look for wrong labels too; needs the extras weights and labels.")
@click.option(
    "--limit", type=options.number(0, 1_000_000), metavar="N", default=3, show_default=True, help="Findings to print."
)
@click.option(
    "-o", "--out", type=options.OutputFile(".html"), metavar="HTML", help="New page with thumbnails of all findings."
)
@click.option(
    "--csv", "csv_file", type=options.OutputFile(streams=True), metavar="CSV", help="New file with all findings."
)
@click.option(
    "--fix",
    nargs=2,
    type=(click.Choice(["drop", "move"]), options.PATH),
    metavar="drop|move FOLDER",
    help="Write clean.csv into a new FOLDER: path, label and split of the images that are left without unreadable and "
    "blank ones, copies, and copies with several labels. move lists those in removed.csv as well. No image is touched.",
)
@click.option("--state", type=options.PATH, metavar="FILE", help="File of the images looked at so far, to resume.")
@job_options.as_json("Print JSON, with all findings.")
def data(
    data: str,
    labels: bool,
    limit: int,
    out: Path | None,
    csv_file: Path | None,
    fix: tuple[str, Path] | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Check the images of DATA before the first training.

    Shows classes, sizes, formats and colours, and finds unreadable files, exact and near duplicates in a class, between
    classes and between splits, blank, dark, bright, blurred, tiny and odd-shaped images, and wrong labels. DATA is what
    `kerastricks train` takes; nothing in it is touched. Ctrl-C keeps what was looked at so far in a file that --state
    resumes.

    \b
    kerastricks data path/to/images/
    kerastricks data path/to/images/ -o data.html --csv findings.csv
    kerastricks data path/to/images/ --fix drop cleaned/ && kerastricks train cleaned/clean.csv
    """
    recipe = job_options.find_recipe(data)
    source = data if recipe is None else str(recipe.data)
    check_source(source)
    if fix is not None:
        check_new_folder(fix[1])
    if labels or not os.path.exists(os.path.expanduser(source)):  # files are checked without TensorFlow
        from kerastricks.cli.quiet import import_keras

        import_keras()
    from kerastricks.cli import screen
    from kerastricks.data_check.checking import check_data
    from kerastricks.data_check.manifest import CLEAN, write_clean
    from kerastricks.data_check.page import write_data_page
    from kerastricks.runs.resumable import sigterm_interrupts

    def interrupted(listing: "Listing", measured: "Measured") -> None:
        path = state
        if path is None:
            path = options.free_name(f"{listing.source.name}.check")
            measured.save(path, listing.fingerprint)
        screen.say(f"{measured.begun:,} of {len(listing):,} images were looked at; resume with --state {path}")

    with sigterm_interrupts():
        report = check_data(source, labels=labels, state=state, interrupted=interrupted, progress=screen.bar)
    if csv_file is not None:
        options.write_output(csv_file, report.write_csv)
    if out is not None:
        write_data_page(out, report, source)
    left = None if fix is None else write_clean(fix[1], report, source, list_removed=fix[0] == "move")
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
        return
    click.echo(report.to_text(limit))
    if fix is not None and left is not None:
        screen.say(f"{left[0]:,} images are left, {left[1]:,} taken out: kerastricks train {fix[1] / CLEAN}")

"""kerastricks pack"""

import json
from pathlib import Path

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import UsageError
from kerastricks.runs.resumable import sigterm_interrupts


@click.command()
@click.argument("data", type=options.SOURCE)
@click.argument("out", type=options.PATH)
@click.option(
    "--format",
    type=options.Choice(["tfrecord", "webdataset", "parquet"]),
    default="tfrecord",
    show_default=True,
    help="Format of the files.",
)
@click.option(
    "--shard-mb",
    type=options.number(0, 1_000_000, whole=False, above=True),
    default=128,
    show_default=True,
    help="Size of a shard in megabytes.",
)
@click.option(
    "--max-skipped",
    type=options.field("max_skipped"),
    default=0.05,
    show_default=True,
    help="Largest fraction of files that may be skipped.",
)
@job_options.as_json()
def pack(data: str, out: Path, format: str, shard_mb: float, max_skipped: float, as_json: bool) -> None:
    """Pack the images of DATA into the new folder OUT: a few large TFRecord, tar or Parquet files.

    The bytes of image files are kept as they are. `kerastricks train OUT` does what `kerastricks train DATA` does.
    See docs/data.md.
    """
    if out.exists():
        raise UsageError(f"{out}: exists already: name another folder, or delete it")
    check_source(data)

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.data.sources.packing import pack as write

    with sigterm_interrupts():
        found = write(data, out, format=format, shard_mb=shard_mb, max_skipped=max_skipped, progress=screen.bar)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for record in found["skipped"]:
        screen.say(f"left out: {record['file']} ({record['reason']})")
    images, shards = (", ".join(f"{name} {n:,}" for name, n in found[key].items()) for key in ("images", "shards"))
    screen.output.print(
        f"{len(found['class_names'])} classes; images: {images}; shards: {shards}; {found['bytes'] / 1e6:,.1f} MB",
        soft_wrap=True,
    )
    screen.output.print(f"  train on it  kerastricks train {out}", soft_wrap=True)

"""kerastricks models"""

import json
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.quiet import import_keras

_FIELDS = ("parameters", "flops", "input_size", "classes", "weights", "summary", "paper")
_UNITS = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))


class _ListByDefault(click.Group):
    """`models FILTER` is `models list FILTER`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx)):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault, subcommand_metavar="[FILTER] | show NAME")
def models() -> None:
    """List the models of the zoo whose name contains FILTER, or show one.

    \b
    kerastricks models
    kerastricks models resnet --json
    kerastricks models show resnet_50
    """


@models.command("list")
@click.argument("filter", required=False, type=options.TEXT, default="")
@job_options.as_json()
def list_models(filter: str, as_json: bool) -> None:
    """List the models whose name contains FILTER; the default command."""
    from kerastricks.errors import UnknownNameError
    from kerastricks.models.catalog import APPLICATIONS, CATALOG, MODELS, PREFIX

    rows = {name: entry for name, entry in CATALOG.items() if filter.lower() in name}
    applications = [name for name in sorted(APPLICATIONS) if filter.lower() in (PREFIX + name).lower()]
    if not rows and not applications:
        raise UnknownNameError("model", filter, MODELS, "kerastricks models")
    if as_json:
        listed: dict[str, Any] = {name: {f: getattr(row, f) for f in _FIELDS} for name, row in rows.items()}
        click.echo(json.dumps({**listed, **{PREFIX + name: {} for name in applications}}, indent=2))
        return
    from rich.table import Table

    from kerastricks.cli import screen

    if rows:
        table = Table(box=None, pad_edge=False)
        table.add_column("model", min_width=max(map(len, rows)))  # a name that is cut off is of no use
        for heading in ("weights", "FLOPs", "pixels"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("trained")
        table.add_column("what it is")
        if roomy := screen.output.width >= 100:
            table.add_column("from", style="dim")
        for name, row in sorted(rows.items(), key=lambda item: _natural(item[0])):
            pretrained = ", ".join(row.weights)
            table.add_row(
                name,
                _short(row.parameters),
                _short(row.flops),
                str(row.input_size),
                pretrained,
                row.summary,
                *([row.paper] if roomy else []),
            )
        screen.output.print(table)
        screen.output.print(
            "weights: trainable; FLOPs: multiply-adds for an image of that many pixels; both with 3 channels, and "
            "10 classes for models of 32 pixels, 1000 for the larger; trained: on what there are weights of",
            style="dim",
        )
    if applications:
        lead = "\n" if rows else ""
        screen.output.print(f"{lead}of keras.applications, as {PREFIX}NAME, pixels 0 to 255 in:", style="dim")
        screen.output.print(" ".join(applications), highlight=False)


@models.command()
@click.argument("name", type=options.SPEC)
@click.option(
    "--image-size", type=options.field("image_size"), metavar="N", help="Side in pixels; by default the model's own."
)
@click.option("--classes", type=options.number(2, 100_000), metavar="N", help="By default those of its weights.")
@job_options.as_json()
def show(name: str, image_size: int | None, classes: int | None, as_json: bool) -> None:
    """Show the layers of the model NAME, by size of their maps, and the advice on shapes.

    \b
    kerastricks models show resnet_20
    kerastricks models show "resnet_50(variant='b')" --image-size 64 --classes 100
    """
    from kerastricks.models.catalog import CATALOG, MODELS
    from kerastricks.spec import parse

    parsed = parse(name)
    MODELS.check(parsed.name)
    import_keras()
    from kerastricks.checks import check_shapes
    from kerastricks.models.summary import summarize

    model = zoo_model(name, image_size, classes)
    summary, report = summarize(model), check_shapes(model)
    entry = CATALOG.get(parsed.name)
    if as_json:
        about = {"summary": entry.summary, "paper": entry.paper, "weights": entry.weights} if entry else {}
        click.echo(json.dumps({**summary.to_json(), **about, "shapes": report.to_json()}, indent=2))
        return
    from rich.table import Table

    from kerastricks.cli import screen

    about_it = f": {entry.summary} ({entry.paper})" if entry else ""
    screen.output.print(f"{parsed}{about_it}\n{summary.input} in, {summary.classes:,} classes out\n", highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("from", "to"):
        table.add_column(heading, overflow="fold")
    table.add_column("layers")
    for heading in ("out", "weights", "FLOPs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in summary.stages:
        last = stage.last if stage.last != stage.first else ""
        table.add_row(stage.first, last, stage.layers, stage.output, f"{stage.parameters:,}", _short(stage.flops))
    table.add_row("total", "", "", "", f"{summary.parameters:,}", _short(summary.flops))
    screen.output.print(table)
    screen.output.print(
        f"weights: trainable, and {summary.frozen:,} that are not; FLOPs: multiply-adds for one image\n", style="dim"
    )
    screen.output.print("\n".join(report.verdicts), highlight=False)


def zoo_model(name: str, image_size: int | None = None, classes: int | None = None) -> Any:
    """Create a model of the zoo, by default for the image size and classes of its paper or weights."""
    from kerastricks.models.catalog import CATALOG, ModelEntry
    from kerastricks.models.creation import create
    from kerastricks.spec import parse

    entry = CATALOG.get(parse(name).name, ModelEntry("", input_size=224, classes=1000))
    side = image_size or entry.input_size
    return create(name, (side, side, 3), classes or entry.classes)


def _short(count: int) -> str:
    """ "25.6 M"."""
    for unit, letter in _UNITS:
        if count >= unit:
            return f"{count / unit:.3g} {letter}"
    return str(count)


def _natural(name: str) -> list[tuple[int, str]]:
    """resnet_20 before resnet_110."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split("_")]

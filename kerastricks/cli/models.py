"""kerastricks models"""

import json

import click


@click.command()
@click.argument("filter", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(filter: str, as_json: bool) -> None:
    """List the models of the zoo whose name contains FILTER."""
    from kerastricks.errors import UnknownNameError
    from kerastricks.models.catalog import CATALOG

    rows = {name: entry for name, entry in CATALOG.items() if filter.lower() in name}
    if not rows:
        raise UnknownNameError("model", filter, CATALOG, "kerastricks models")
    if as_json:
        fields = ("parameters", "input_size", "summary", "paper")
        click.echo(json.dumps({name: {f: getattr(row, f) for f in fields} for name, row in rows.items()}, indent=2))
        return
    from rich.table import Table

    from kerastricks.cli import screen

    table = Table("model", box=None, pad_edge=False)
    table.add_column("weights", justify="right")
    table.add_column("pixels", justify="right")
    table.add_column("what it is")
    table.add_column("from", style="dim")
    for name, row in rows.items():
        table.add_row(name, f"{row.parameters:,}", str(row.input_size), row.summary, row.paper)
    screen.output.print(table)
    screen.output.print("weights at 32x32x3 and ten classes", style="dim")

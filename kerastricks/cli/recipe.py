"""kerastricks recipe list | show | copy"""

from pathlib import Path
from typing import Any

import click

from kerastricks import recipes
from kerastricks.cli import job_options, options


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in recipes.names() if name.startswith(incomplete)]


@click.group()
def recipe() -> None:
    """List, show and copy recipes: short Python files with the training for one data set."""


@recipe.command("list")
@job_options.as_json()
def list_(as_json: bool) -> None:
    """List the recipes."""
    rows: dict[str, Any] = {name: recipes.summary(name) for name in recipes.names()}
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
        return
    width = max(map(len, rows), default=0)
    for name, summary in rows.items():
        click.echo(f"{name:{width}}  {summary}")


@recipe.command()
@click.argument("name", type=options.SOURCE, shell_complete=_complete)
def show(name: str) -> None:
    """Print a recipe."""
    click.echo(recipes.text_of(name), nl=False)


@recipe.command()
@click.argument("name", type=options.SOURCE, shell_complete=_complete)
@click.argument("folder", type=options.FOLDER)
def copy(name: str, folder: Path) -> None:
    """Copy a recipe into FOLDER, to be edited; run it with `kerastricks train FOLDER/NAME.py`."""
    click.echo(recipes.copy(name, folder))

"""Options that several commands share: the source of images, fields of the configuration, the run folder."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kerastricks import recipes
from kerastricks.cli import options
from kerastricks.cli.quiet import stderr_kept_back

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def complete_source(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Recipes and files."""
    from click.shell_completion import CompletionItem

    names = [CompletionItem(name) for name in recipes.names() if name.startswith(incomplete)]
    return [*names, CompletionItem(incomplete, type="file")]


def _complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from kerastricks.models.catalog import CATALOG

    return [name for name in CATALOG if name.startswith(incomplete)]


def source(name: str = "source", *, required: bool = False, metavar: str | None = None) -> Decorator:
    """Images: a path, a data set or a recipe."""
    return click.argument(name, required=required, metavar=metavar, type=options.SOURCE, shell_complete=complete_source)


def model(text: str = '"resnet_20(dropout=0.1)".') -> Decorator:
    """--model, of the zoo."""
    return click.option("--model", type=options.SPEC, metavar="SPEC", shell_complete=_complete_model, help=text)


def augment(text: str = '"flip | pad_crop(4) | fancy_pca(0.1)"; "" for none.') -> Decorator:
    """--augment, of training images."""
    return click.option("--augment", type=options.SPEC, metavar="SPEC", help=text)


def classes(text: str = 'Use only these: "cat, dog".') -> Decorator:
    """--classes of the data."""
    return click.option("--classes", type=options.CLASSES, metavar="NAMES", help=text)


def group() -> Decorator:
    """--group, by the names of files."""
    text = 'Keep images of a group in one split: "([^/]*)_[0-9]+[.]jpg".'
    return click.option("--group", type=options.CLASSES, metavar="PATTERN", help=text)


def imbalance() -> Decorator:
    """--imbalance of classes."""
    text = 'Remedy for classes of unequal size: "auto", "balanced_softmax"; see docs/imbalance.md.'
    return click.option("--imbalance", type=options.SPEC, metavar="SPEC", help=text)


def epochs(text: str = "Passes over the training images.") -> Decorator:
    """--epochs."""
    return click.option("--epochs", type=options.field("epochs"), help=text)


def minutes(text: str) -> Decorator:
    """--minutes of wall-clock time."""
    return click.option("--minutes", type=options.field("minutes"), metavar="N", help=text)


def batch_size(text: str = "Images in a step.", metavar: str = "N") -> Decorator:
    """--batch-size."""
    return click.option("--batch-size", type=options.field("batch_size"), metavar=metavar, help=text)


def image_size(text: str = "Side that images are cut and resized to.") -> Decorator:
    """--image-size."""
    return click.option("--image-size", type=options.field("image_size"), metavar="PIXELS", help=text)


def seed(text: str = "Seed of splits, weights, order and augmentation.") -> Decorator:
    """--seed."""
    return click.option("--seed", type=options.SEED, help=text)


def name(default: str) -> Decorator:
    """--name of a run folder."""
    return click.option("--name", type=options.NAME, help=f"Name of the run.  [default: {default}]")


def resume(command: F) -> F:
    """--resume RUN."""
    text = "Resume an interrupted run."
    return click.option("--resume", type=options.PATH, metavar="RUN", help=text)(command)


def as_json(text: str = "Print JSON.") -> Decorator:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def given_fields(assignments: tuple[str, ...], **given: Any) -> dict[str, Any]:
    """The configuration fields given on the command line, by options and by --set.

    Args:
        assignments: of --set; they win.
        **given: values of options, None for those that are not there.
    """
    from kerastricks.training.config import parse_assignment

    fields = {field: value for field, value in given.items() if value is not None}
    return fields | dict(parse_assignment(text) for text in assignments)


def find_recipe(source: str) -> recipes.Recipe | None:
    """The recipe of that file or name; files and folders take precedence over names."""
    with stderr_kept_back():  # a recipe may import Keras
        return recipes.of_source(source)

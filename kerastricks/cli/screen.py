"""Output of the commands: progress on standard error, results on standard output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerastricks.progress import in_lines

# No markup: names of classes and files may hold brackets.
errors = Console(stderr=True, highlight=False, markup=False)
output = Console(highlight=False, markup=False)


def say(line: str) -> None:
    """Print a line about the work in progress."""
    errors.print(line, soft_wrap=True)


@contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A transient progress bar with the remaining time; without a terminal, a line every ten seconds."""
    if not errors.is_terminal:
        with in_lines(say)(description, total) as advance:
            yield advance
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.advance(task, done)

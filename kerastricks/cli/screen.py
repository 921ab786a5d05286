"""What the commands show: progress on standard error, results on standard output."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerastricks.progress import clock

# No markup: names of classes and files may hold brackets.
errors = Console(stderr=True, highlight=False, markup=False)
output = Console(highlight=False, markup=False)
_SECONDS_BETWEEN_LINES = 10.0


def say(line: str) -> None:
    """A line about what is going on."""
    errors.print(line, soft_wrap=True)


@contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with the time that is left, gone when it is full; where no terminal is, a line every ten seconds."""
    if not errors.is_terminal:
        yield _lines(description, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.advance(task, done)


def _lines(description: str, total: int) -> Callable[[int], None]:
    began = said = time.monotonic()
    so_far = 0

    def advance(done: int) -> None:
        nonlocal said, so_far
        so_far += done
        now = time.monotonic()
        if now - said < _SECONDS_BETWEEN_LINES or so_far >= total:
            return
        said = now
        left = (now - began) / max(so_far, 1) * (total - so_far)
        say(f"{description}: {so_far:,} of {total:,}, {clock(left)} left")

    return advance

"""Progress reporting, and how times and sizes are printed."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

# progress("reading", 60_000) is a context whose value is called with each number of things that are done.
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def silent(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show no progress."""
    yield lambda done: None


def clock(seconds: float) -> str:
    """Format a time as on a clock: "3:07", "2:03:07"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def duration(seconds: float) -> str:
    """Format a duration to two or three digits: "2.5 s", "34 s", "2.5 min", "25 min"."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"


def minutes(seconds: float) -> str:
    """Format a duration as a user gave it: "2 minutes", "0.5 minutes"."""
    return f"{seconds / 60:g} minutes"


def megabytes(size: float) -> str:
    """Format bytes as "1,234 MB"."""
    return f"{size / 1e6:,.0f} MB"


def gigabytes(size: float) -> str:
    """Format bytes as "1.25 GB"."""
    return f"{size / 1e9:.2f} GB"

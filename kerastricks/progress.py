"""Progress reporting, and how times and sizes are printed."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

# progress("reading", 60_000) is a context whose value is called with each number of things that are done.
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
_SECONDS_BETWEEN_LINES = 10.0


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


def in_lines(say: Callable[[str], None]) -> Progress:
    """Progress as a line every ten seconds, with the time that is left; short work gives none.

    Args:
        say: gets the lines.
    """

    @contextmanager
    def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
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

        yield advance

    return progress

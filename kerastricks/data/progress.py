"""How long work tells where it is, without knowing who shows it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

# progress("reading", 60_000) is a context whose value is called with each number of things that are done.
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def silent(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows nothing."""
    yield lambda done: None


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
            minutes, seconds = divmod(round((now - began) / max(so_far, 1) * (total - so_far)), 60)
            say(f"{description}: {so_far:,} of {total:,}, {minutes}:{seconds:02} left")

        yield advance

    return progress

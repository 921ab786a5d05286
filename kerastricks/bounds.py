"""Ranges of numbers: those of the configuration, declared once for Python, recipes and the command line."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bounds:
    """The numbers that are legal somewhere; none of them is NaN, infinite or beyond 64 bits.

    Args:
        low: the smallest, or, where `above`, what all are above.
        high: the largest, or, where `below`, what all are below; None for no limit worth naming.
        whole: whether only integers are meant.
        above: whether `low` itself is excluded.
        below: whether `high` itself is excluded.
    """

    low: float
    high: float | None = None
    whole: bool = False
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Whether the number is one of them."""
        if not (-(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)):
            return False
        if value < self.low or (self.above and value == self.low):
            return False
        return self.high is None or value < self.high or (not self.below and value == self.high)

    @property
    def rule(self) -> str:
        """The range in words: "1 or more", "in [0, 1)"."""
        if self.high is None:
            return f"{'above ' if self.above else ''}{self.low:,}{'' if self.above else ' or more'}"
        if self.high == 2**31:
            return f"in [{self.low}, 2^31)"
        if self.whole:
            return f"{self.low:,} to {self.high:,}"
        return f"in {'(' if self.above else '['}{self.low:,}, {self.high:,}{')' if self.below else ']'}"


SEED = Bounds(0, 2**31, whole=True, below=True)
COUNT = Bounds(1, 1_000_000, whole=True)
FRACTION = Bounds(0, 1)
CONFIG = {
    "image_size": Bounds(1, 8192, whole=True),
    "crop_fraction": Bounds(0, 1, above=True),
    "batch_size": COUNT,
    "base_batch": COUNT,
    "epochs": COUNT,
    "minutes": Bounds(0, 525_600, above=True),  # a year
    "early_stopping_epochs": COUNT,
    "learning_rate": Bounds(0, above=True),
    "weight_decay": Bounds(0),
    "label_smoothing": Bounds(0, 1, below=True),
    "clip_norm": Bounds(0, above=True),
    "validation": Bounds(0, 1, above=True, below=True),
    "test": Bounds(0, 1, above=True, below=True),
    "seed": SEED,
    "split_seed": SEED,
    "max_pixels": Bounds(1, whole=True),
    "max_skipped": FRACTION,
}


def shown(value: Any) -> str:
    """The value for a message: one that is too long for a line is cut, also an integer that Python refuses to print."""
    try:
        text = repr(value)
    except ValueError:
        return f"a number of {value.bit_length():,} bits" if isinstance(value, int) else "a number of too many digits"
    return text if len(text) <= 200 else f"{text[:200]}..."


def is_text(value: str) -> bool:
    """Whether it can be written to a file and used in a path: no NUL, and no bytes that are not valid UTF-8."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in value

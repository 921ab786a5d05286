"""Numbers and names short enough for a line or a table."""

import math
from typing import Any


def short_value(value: Any, limit: int = 32) -> str:
    """A value of the space: 0.00316, 3.2e-5, 128, true; a long name is cut.

    Args:
        value: a number, a string, a boolean, None or anything with a name.
        limit: the most characters.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, float):
        return _mended(f"{value:.3g}")
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def short_score(score: float | None) -> str:
    """A score: 0.4312, 12.35, 3.1e-5; a dash where there is none."""
    if score is None or not math.isfinite(score):
        return "-"
    size = abs(score)
    if size == 0 or 1e-3 <= size < 10:
        return f"{score:.4f}"
    return f"{score:.2f}" if 10 <= size < 1e4 else _mended(f"{score:.4g}")


def _mended(text: str) -> str:
    """3.2e-05 is 3.2e-5."""
    head, e, exponent = text.partition("e")
    return f"{head}e{int(exponent)}" if e else head

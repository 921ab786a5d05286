"""A table as plain text."""

import math
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Columns two spaces apart; the first `left` are flush left, the others flush right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    )


def number(value: float | None, digits: int = 3) -> str:
    """A number in a few characters, "-" for None."""
    return "-" if value is None else f"{value:.{digits}g}"


def finite(value: float | None) -> float | None:
    """None for what JSON has no word for."""
    return None if value is None or not math.isfinite(value) else float(value)

"""A curve in a few lines of text."""

from collections.abc import Sequence

_DOTS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))  # of a braille character, by column, from the bottom


def text_plot(values: Sequence[float], width: int = 60, height: int = 8, braille: bool = True) -> list[str]:
    """Draws values that are not negative, from 0 at the bottom to the highest at the top.

    Args:
        values: at equal distances.
        width: characters of a line, the axis apart.
        height: lines.
        braille: with two times four dots in a character; without, one star in each column.

    Returns:
        The lines, the first of which is the highest.

    Example:
        >>> import kerastricks
        >>> print("\\n".join(kerastricks.schedules.text_plot([0, 1, 2, 3], width=4, height=4, braille=False)))
           *
          *
         *
        *
    """
    columns, levels = (2 * width, 4 * height) if braille else (width, height)
    heights = _levels(values, columns, levels)
    cells = [[0] * width for _ in range(height)]
    before = heights[0]
    for column, level in enumerate(heights):
        # A jump is a line, and not two points.
        low, high = sorted((level, before if abs(before - level) > 1 and braille else level))
        for each in range(low, high + 1):
            line, dot = divmod(each, 4) if braille else (each, 0)
            character = column // 2 if braille else column
            cells[height - 1 - line][character] |= _DOTS[column % 2][dot] if braille else 1
        before = level
    signs = (lambda cell: chr(0x2800 + cell)) if braille else (lambda cell: " *"[cell])
    return ["".join(map(signs, line)).rstrip("\u2800 ") for line in cells]


def _levels(values: Sequence[float], columns: int, levels: int) -> list[int]:
    """Of each column, the level of the value that is nearest to its place."""
    top = max(*values, 0.0) or 1.0
    last = len(values) - 1
    chosen = (values[round(column * last / max(columns - 1, 1))] for column in range(columns))
    return [min(max(round(value / top * (levels - 1)), 0), levels - 1) for value in chosen]

"""A matrix of counts as cells whose colour is their share of the row."""

from collections.abc import Sequence
from html import escape

import numpy as np

from kerastricks.charts.axes import short_value

_MOST_WITH_NUMBERS = 25
_CELL = 30
_LETTER = 6.2  # width, at the size of the labels


def matrix_svg(
    counts: np.ndarray, names: Sequence[str], label: str, row: str = "true", column: str = "predicted"
) -> str:
    """An `svg` of a square matrix: the diagonal in one colour, the rest in another, dark for a large share of the row.

    Args:
        counts: (K, K) whole numbers.
        names: of rows and columns.
        label: what it shows, for those who cannot see it.
        row: what rows are.
        column: what columns are.
    """
    short = [short_value(name, limit=18) for name in names]
    margin = round(max((len(name) for name in short), default=0) * _LETTER) + 26
    size = len(names) * _CELL
    width, height = margin + size + 8, margin + size + 8
    sums = np.maximum(counts.sum(axis=1), 1)
    parts = [
        f'<svg class="matrix" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'style="max-width: {round(1.25 * width)}px; min-width: {min(width, 200 + 14 * len(names))}px">',
        f'<rect x="{margin}" y="{margin}" width="{size}" height="{size}" fill="var(--cell)"/>',
        f'<text class="axis" x="{margin + size / 2:g}" y="11" text-anchor="middle">{escape(column)}</text>',
        f'<text class="axis" transform="translate(11 {margin + size / 2:g}) rotate(-90)" text-anchor="middle">'
        f"{escape(row)}</text>",
    ]
    for index, name in enumerate(short):
        middle = margin + (index + 0.5) * _CELL + 4
        parts.append(f'<text x="{margin - 6}" y="{middle:g}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<text transform="translate({middle:g} {margin - 6}) rotate(-90)">{escape(name)}</text>')
    for i, j in zip(*np.nonzero(counts), strict=True):
        parts.append(_cell(int(i), int(j), int(counts[i, j]), float(counts[i, j] / sums[i]), margin, names))
    return "".join(parts) + "</svg>"


def _cell(i: int, j: int, count: int, share: float, margin: int, names: Sequence[str]) -> str:
    x, y = margin + j * _CELL, margin + i * _CELL
    kind = "right" if i == j else "wrong"
    title = f"{names[i]}, predicted as {names[j]}: {count:,} ({share:.1%})"
    # By the root: a few per cent of a row must be seen.
    opacity = 0.12 + 0.88 * share**0.5
    number = ""
    if len(names) <= _MOST_WITH_NUMBERS:
        text = f"{count}" if count < 1000 else f"{count / 1000:.2g}k" if count < 1e5 else f"{count / 1000:.0f}k"
        number = f'<text x="{x + _CELL / 2:g}" y="{y + _CELL / 2 + 4:g}" text-anchor="middle">{text}</text>'
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{x + 0.5:g}" y="{y + 0.5:g}" width="{_CELL - 1}" height="{_CELL - 1}" class="{kind}" '
        f'fill-opacity="{opacity:.2f}"/>{number}</g>'
    )

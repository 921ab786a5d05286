"""Tables of a page: with a caption, and sorted by a click or a key on the head of a column."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: shown.
        key: by which it is sorted; None sorts last.
        kind: its class; "" for none.
    """

    text: str
    key: Any = None
    kind: str = ""

    def to_html(self, head: bool = False) -> str:
        """The `td`, or the `th` of a row."""
        key = self.key
        if key is None or (isinstance(key, float) and math.isnan(key)):
            key = ""
        elif not isinstance(key, str):
            key = json.dumps(key, default=str)
        marked = f' class="{self.kind}"' if self.kind else ""
        name, scope = ("th", ' scope="row"') if head else ("td", "")
        return f'<{name}{scope}{marked} data-v="{escape(key)}">{escape(self.text)}</{name}>'


def number(value: float | None, text: str) -> Cell:
    """A cell with a number, on the right; a dash for None."""
    return Cell("-" if value is None else text, value, "number")


def html_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, sortable: bool = True) -> str:
    """A table whose first column names its rows.

    Args:
        caption: says what it is.
        heads: of the columns.
        rows: cells, as many as heads each.
        sortable: whether its columns sort.
    """
    numbers = [bool(rows) and rows[0][column].kind == "number" for column in range(len(heads))]
    head = "".join(
        f'<th scope="col" class="{"number" if numeric else ""}">{escape(text)}</th>'
        for text, numeric in zip(heads, numbers, strict=True)
    )
    body = "\n".join(
        f"<tr>{cells[0].to_html(head=True)}{''.join(cell.to_html() for cell in cells[1:])}</tr>" for cells in rows
    )
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f"<table{kind}>\n<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )

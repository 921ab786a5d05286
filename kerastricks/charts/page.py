"""The frame and style of a page, its tiles, facts and figures: one HTML file that loads nothing else.

A page is written with `write_page`; its figures are made under `kerastricks.charts.svg.page_style`. The style knows the
classes `tiles`, `columns`, `wide`, `half`, `note`, and for tables `sortable`: columns sort by `data-v`. It is light or
dark as the reader's system is.
Elements of the classes `t` and `t3` belong to the point of index 3: pointing at one lights up all of them.
"""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from kerastricks.charts.axes import short_value
from kerastricks.charts.svg import inline_svg
from kerastricks.files import write_text

_FILES = Path(__file__).with_name("page_files")


def write_page(path: Path, title: str, body: str, sections: Mapping[str, str] | None = None) -> None:
    """Writes a page atomically.

    Args:
        path: the file.
        title: of the page; any text.
        body: HTML, with all text escaped.
        sections: id of each part of the body that is listed at the top, and its heading; None for no list.

    Raises:
        WriteError: where it cannot be written.
    """
    page = Template((_FILES / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(plain_text(title)),
        style=(_FILES / "page.css").read_text(encoding="utf-8").strip(),
        script=(_FILES / "page.js").read_text(encoding="utf-8").strip(),
        sections="" if not sections else _links(sections),
        body=body,
    )
    write_text(path, page.encode(errors="replace").decode())


def _links(sections: Mapping[str, str]) -> str:
    items = "".join(f'<li><a href="#{escape(name)}">{escape(text)}</a></li>' for name, text in sections.items())
    return f'<nav aria-label="Parts of this page"><ul>{items}</ul></nav>'


def tile(value: str, label: str, kind: str = "") -> str:
    """A figure in large type over what it is; `kind` is its class: "best", "failed"."""
    return f'<div class="tile {kind}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def fact_list(facts: Mapping[str, str]) -> str:
    """Names beside their values."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return f"<dl>{rows}</dl>"


def note(text: str) -> str:
    """A paragraph that stands out."""
    return f'<p class="note">{escape(text)}</p>'


def half_figure(figure: Figure, prefix: str, label: str, titles: Mapping[int, str]) -> str:
    """A figure half as wide as the page; arguments as `inline_svg` takes them."""
    return f'<figure class="half">{inline_svg(figure, prefix, label, titles)}</figure>'


def plain_text(value: Any) -> str:
    """Text without control characters, uncut."""
    return short_value(value, limit=2000)

"""Figures by matplotlib as SVG inside a page."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape

import matplotlib
from matplotlib.figure import Figure

# Colours of meaning, and those that tell lines apart. In an SVG they become the variables of page.css, which has others
# for dark pages; so do all greys.
BEST, FAILED, WARNING, NOTE, GOOD = "#d6336c", "#c92a2a", "#e8950c", "#3b82c4", "#2f9e44"
LINES = ("#1f6fb4", "#c9502a", "#2b8a3e", "#7b4fb5", "#b07d01", "#0f8a8a", "#c2417c", "#5c6b7a")
_VARIABLES = {BEST: "best", FAILED: "failed", WARNING: "warning", NOTE: "noted", GOOD: "good"}
_VARIABLES |= {colour: f"line{number}" for number, colour in enumerate(LINES)}
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kerastricks",
    # Names hold dollars and underscores.
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": ["sans-serif"],
    "font.size": 9.0,
    "path.simplify": False,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.6",
    "axes.labelcolor": "0.25",
    "text.color": "0.25",
    "xtick.color": "0.4",
    "ytick.color": "0.4",
}


@contextmanager
def page_style() -> Iterator[None]:
    """Sets matplotlib's style for the figures of a page, which are made and written inside."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A glyph that matplotlib's font lacks is the browser's to draw.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")
        yield


def mark(index: int) -> str:
    """The `gid` of an artist that belongs to the point of that index."""
    return f"trial:{index}"


def inline_svg(figure: Figure, prefix: str, label: str, titles: Mapping[int, str]) -> str:
    """Converts a figure into an `svg` element.

    An artist with the gid `mark(3)` becomes a group of the classes t and t3, with a tooltip.

    Args:
        figure: made under `page_style`.
        prefix: makes the ids of this chart different from those of the others.
        label: what it shows, for those who cannot see it.
        titles: for each index the tooltip, of any characters.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<\?.*?\?>", "", svg, flags=re.DOTALL)
    view_box = re.search(r'viewBox="([^"]*)"', svg)
    assert view_box is not None
    head = f'<svg viewBox="{view_box.group(1)}" role="img" aria-label="{escape(label)}">'
    svg = head + svg[svg.index(">") + 1 :]

    def group(found: re.Match[str]) -> str:
        index = int(found.group(1))
        return f'<g class="t t{index}"><title>{escape(titles[index])}</title>'

    svg = re.sub(r'<g id="trial:(\d+)">', group, svg)
    svg = re.sub(r' id="(?:text|patch|line2d|xtick|ytick|matplotlib.axis|PathCollection|LineCollection)_\d+"', "", svg)
    svg = re.sub(r'( id="|(?:xlink:)?href="#|url\(#)', rf"\g<1>{prefix}-", svg).replace("xlink:href", "href")
    svg = re.sub(r'style="[^"]*"', lambda found: _HEX.sub(lambda one: css_colour(one[0]), found[0]), svg)
    svg = re.sub(r' (d|x|y)="([^"]*)"', lambda found: f' {found[1]}="{_rounded(found[2])}"', svg)
    return re.sub(r"\s*\n\s*", "\n", svg)


def _rounded(numbers: str) -> str:
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", numbers).replace(" \n", " ").strip()


def css_colour(colour: str) -> str:
    """A colour as page.css knows it, so that it is readable on light and dark pages; others stay as they are.

    Args:
        colour: "#rrggbb"; a grey becomes that share of ink on paper, in steps of a tenth.
    """
    if colour in _VARIABLES:
        return f"var(--{_VARIABLES[colour]})"
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"var(--ink{10 * (10 - round(red / 25.5))})" if red == green == blue else colour

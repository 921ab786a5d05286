"""Figures without pyplot and its global state: create, style, save as PNG.

matplotlib is imported when the first figure is made, so that reports can be imported without it.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kerastricks.files import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, **layout: float) -> "Figure":
    """An empty figure with constrained layout.

    Args:
        width: in inches.
        height: in inches.
        **layout: of the layout engine: `wspace`, `hspace`, `w_pad`, `h_pad`.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(**layout))


def style_axes(
    axes: Any, grid: Literal["both", "x", "y"] | None = "both", hidden: Sequence[str] = ("top", "right")
) -> None:
    """Hides spines that mark no axis, and draws a faint grid.

    Args:
        axes: of a figure.
        grid: which of its lines; None for none.
        hidden: the spines.
    """
    if grid is not None:
        axes.grid(alpha=0.25, axis=grid)
    axes.spines[list(hidden)].set_visible(False)


def save_figure(figure: "Figure", target: Path, dpi: int = 120) -> None:
    """Writes a figure as PNG, atomically.

    Args:
        figure: drawn.
        target: the PNG.
        dpi: dots per inch.

    Raises:
        WriteError: where it cannot be written.
    """
    _show_names(figure)
    with whole(target) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that the font lacks is shown as boxes
        figure.savefig(temporary, dpi=dpi, format="png")


def _show_names(figure: "Figure") -> None:
    """Turns off mathtext except for the numbers of axes: matplotlib reads text between two $ as a formula."""
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter, ScalarFormatter

    numbers: set[int] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter | ScalarFormatter):
                ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
                numbers |= {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
                numbers.add(id(axis.get_offset_text()))
    for text in figure.findobj(Text):
        if id(text) not in numbers:
            text.set_parse_math(False)

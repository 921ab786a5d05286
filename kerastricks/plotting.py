"""Figures: written atomically, their names shown as they are."""

import warnings
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, ScalarFormatter

from kerastricks.files import whole


def save_figure(figure: Figure, target: Path, dpi: int = 120) -> None:
    """Write a figure as PNG.

    Args:
        figure: drawn.
        target: the PNG.
        dpi: dots per inch.

    Raises:
        WriteError: where it cannot be written.
    """
    show_names(figure)
    with whole(target) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that the font has not: boxes
        figure.savefig(temporary, dpi=dpi, format="png")


def show_names(figure: Figure) -> None:
    """Show all text but the numbers of axes verbatim: matplotlib reads what is between two $ as a formula."""
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

"""The picture of a preview: a row per image, the original first."""

import os
import re
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from kerastricks.errors import UsageError
from kerastricks.files import whole

_CELL_PX = 96  # smaller images are enlarged to about this, by a whole number
_LARGEST_CELL_PX = 256  # larger ones are reduced to this
_LABEL_PX = 170
_MARGIN, _GAP, _WIDE_GAP = 16, 6, 20
_NARROWEST_PX = 420
_MOST_PIXELS = 100_000_000
_INK, _FAINT, _FRAME = "#222222", "#666666", "#c8c8c8"

_Font = ImageFont.FreeTypeFont


def plot_preview(title: str, augment: str, labels: list[str], cells: np.ndarray, target: Path) -> None:
    """Plot originals beside their augmented versions.

    Args:
        title: first line.
        augment: second line.
        labels: label of each row.
        cells: uint8 (rows, columns, height, width, 1 or 3); column 0 holds the originals.
        target: a PNG, written atomically.
    """
    text, bold = _font("DejaVuSans.ttf", 13), _font("DejaVuSans-Bold.ttf", 14)
    width, height = cell_size(cells.shape[2], cells.shape[3])
    columns = cells.shape[1]
    headings = ("original", "augmented")
    line = _line_height(text)
    names = [_wrap(label, text, _LABEL_PX, most=max(2, height // line)) for label in labels]
    left = _MARGIN + max(_width(text, part) for name in names for part in name) + 10
    first = max(width, _width(text, headings[0]))  # a heading may be wider than the column below it
    second = left + first + _WIDE_GAP
    remaining = max((columns - 1) * (width + _GAP) - _GAP, _width(text, headings[1]))
    full_width = max(second + remaining + _MARGIN, _NARROWEST_PX)
    titles = [(part, bold) for part in _wrap(title, bold, full_width - 2 * _MARGIN, most=2)]
    titles += [(part, text) for part in _wrap(augment, text, full_width - 2 * _MARGIN, most=6)]

    top = _MARGIN + sum(_line_height(font) for _, font in titles) + 10
    middles, bottom = [], top + line + 4
    for name in names:
        row_height = max(height, len(name) * line)
        middles.append(bottom + row_height // 2)
        bottom += row_height + _GAP
    full_height = bottom - _GAP + _MARGIN

    picture = Image.new("RGB", (full_width, full_height), "white")
    pen = ImageDraw.Draw(picture)
    y = _MARGIN
    for part, font in titles:
        pen.text((_MARGIN, y), part, _INK, font)
        y += _line_height(font)
    pen.text((left, top), headings[0], _FAINT, text)
    pen.text((second, top), headings[1], _FAINT, text)
    for name, row, middle in zip(names, cells, middles, strict=True):
        for number, part in enumerate(name):
            start = middle - len(name) * line // 2 + number * line
            pen.text((left - 10 - _width(text, part), start), part, _INK, text)
        y = middle - height // 2
        for column, cell in enumerate(row):
            x = left if column == 0 else second + (column - 1) * (width + _GAP)
            # The frame shows where a white or padded image ends.
            pen.rectangle((x - 1, y - 1, x + width, y + height), outline=_FRAME)
            picture.paste(_scaled(cell, width, height), (x, y))
    with whole(target) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def check_target(path: Path) -> None:
    """Raises UsageError unless a new .png can be written there."""
    if path.suffix.lower() != ".png" or not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(
            f"the picture must be a .png in a folder that is there and can be written to. Received: {path}"
        )
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already: delete it or give another name")


def check_size(rows: int, columns: int, height: int, width: int) -> None:
    """Raises UsageError for a picture that would fill the memory."""
    shown_width, shown_height = cell_size(height, width)
    largest = max((shown_width + _GAP) * (shown_height + _GAP), width * height)
    if rows * columns * largest > _MOST_PIXELS:
        raise UsageError(
            f"the picture would have more than {_MOST_PIXELS:,} pixels: show fewer images, fewer versions of each, or "
            f"smaller images. Received: {rows} rows of {columns} images of {width}x{height} pixels"
        )


def label_of(name: str, index: int) -> str:
    """The name of a class, or its number where the font lacks a letter of it."""
    known = FT2Font(str(_font_path("DejaVuSans.ttf"))).get_charmap()
    return name if all(ord(letter) in known or letter.isspace() for letter in name) else f"class {index}"


def cell_size(height: int, width: int) -> tuple[int, int]:
    """(width, height) at which an image is shown."""
    longer = max(height, width)
    if longer > _LARGEST_CELL_PX:
        scale = _LARGEST_CELL_PX / longer
        return max(1, round(width * scale)), max(1, round(height * scale))
    factor = max(1, round(_CELL_PX / longer))
    return width * factor, height * factor


def _scaled(cell: np.ndarray, width: int, height: int) -> Image.Image:
    image = Image.fromarray(cell[..., 0] if cell.shape[-1] == 1 else cell)
    enlarged = width >= image.width
    return image.resize((width, height), Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)


def _font(name: str, size: int) -> _Font:
    """matplotlib's: it knows more alphabets than Pillow's own."""
    return ImageFont.truetype(_font_path(name), size)


def _font_path(name: str) -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name


def _line_height(font: _Font) -> int:
    return sum(font.getmetrics()) + 2


def _width(font: _Font, text: str) -> int:
    return int(np.ceil(font.getlength(text)))


def _wrap(text: str, font: _Font, width: int, most: int) -> list[str]:
    """At most `most` lines of `width` pixels, broken after spaces, "_", "-", "/" and "|", inside a word if need be."""
    text = " ".join(text.encode("utf-8", "replace").decode().split())  # a path may hold what is no text
    lines = [""]
    for piece in re.findall(r"[^\s_/|-]*[\s_/|-]*", text):
        if _width(font, (lines[-1] + piece).rstrip()) > width and lines[-1]:
            lines.append("")
        for letter in piece:
            if _width(font, (lines[-1] + letter).rstrip()) > width:
                lines.append("")
            lines[-1] += letter
    lines = [line.strip() for line in lines]
    if len(lines) > most:
        last = lines[most - 1]
        while last and _width(font, last + "…") > width:
            last = last[:-1]
        lines = [*lines[: most - 1], last + "…"]
    return lines

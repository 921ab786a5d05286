"""data.html: a check of images on one self-contained page, with thumbnails of what was found side by side."""

import os
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.charts.page import fact_list, note, plain_text, tile, write_page
from kerastricks.charts.table import Cell, html_table, number
from kerastricks.charts.thumbnails import thumbnail
from kerastricks.data_check.checking import list_images
from kerastricks.data_check.data_report import DataReport
from kerastricks.data_check.findings import COPIES, KINDS, DataFinding
from kerastricks.data_check.pass_over_images import Listing

# So that a page stays below three megabytes.
_MOST_FINDINGS = 24  # of a kind
_MOST_PICTURES = 6  # of a finding
_MOST_CLASSES = 500


def write_data_page(path: str | os.PathLike[str], report: DataReport, source: Any) -> None:
    """Write a page about a check of images: one HTML file that loads nothing, dark or light as the reader's system is.

    Args:
        path: the file; replaced atomically where it is there.
        report: of `check_data`.
        source: that was checked; the images that are shown are read again.

    Raises:
        WriteError: where it cannot be written.
    """
    listing = list_images(source)
    parts = [("classes", "Classes", _class_table(report))]
    for kind, count in report.counts.items():
        title, advice = KINDS[kind]
        parts.append((kind, title[0].upper() + title[1:], _section(report.of(kind), count, advice, listing)))
    tiles = [tile(f"{report.images:,}", "files"), tile(f"{len(report.class_names):,}", "classes")]
    tiles += [tile(f"{count:,}", KINDS[kind][0], _tone(kind)) for kind, count in report.counts.items()]
    body = "\n".join(
        f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{content}\n</section>' for name, title, content in parts
    )
    facts = fact_list({name: plain_text(value) for name, value in report.facts().items()})
    head = f'<div class="tiles">{"".join(tiles)}</div>\n{facts}{"".join(note(text) for text in report.notes)}'
    title = f"Images of {report.name}"
    write_page(Path(path), title, f"{head}\n{body}", {name: title for name, title, _ in parts})


def _tone(kind: str) -> str:
    return "failed" if kind in ("unreadable", "exact_leak", "near_leak", "exact_conflict", "near_conflict") else ""


def _class_table(report: DataReport) -> str:
    """Images of each class in each split, the largest class first."""
    counts = np.array(list(report.class_counts.values()))
    order = np.argsort(-counts.sum(axis=0), kind="stable")[:_MOST_CLASSES]
    rows = []
    for index in order.tolist():
        name, total = plain_text(report.class_names[index]), int(counts[:, index].sum())
        share = total / max(int(counts.sum()), 1)
        rows.append(
            [
                Cell(name, name),
                number(total, f"{total:,}"),
                number(share, f"{share:.1%}"),
                *(number(int(one), f"{one:,}") for one in counts[:, index]),
            ]
        )
    shown = f"{len(rows):,} of {len(report.class_names):,} classes" if len(rows) < len(report.class_names) else "images"
    return html_table(f"Readable {shown}", ["class", "images", "share", *report.class_counts], rows)


def _section(findings: list[DataFinding], count: int, advice: str, listing: Listing) -> str:
    shown = findings[:_MOST_FINDINGS]
    more = f" The first {len(shown)} of {count:,}." if len(shown) < count else ""
    figures = "\n".join(_figure(one, listing) for one in shown)
    return f'<p>{escape(advice[0].upper() + advice[1:])}.{more}</p>\n<div class="pictures">{figures}</div>'


def _figure(finding: DataFinding, listing: Listing) -> str:
    """The images of a finding side by side, each over its split, class and file where they are several."""
    several = finding.kind in COPIES
    pictures, captions = [], []
    known = list(zip(finding.indices, finding.files, finding.splits, finding.classes, strict=True))
    for index, name, split, class_name in known[:_MOST_PICTURES]:
        image = _picture(listing, index)
        if image is not None:
            alt = escape(plain_text(f"{class_name} in {split}: {name}"))
            pictures.append(f'<img src="{image}" alt="{alt}">')
        said = f"<b>{escape(plain_text(class_name))}</b>, {escape(split)}: " if several else ""
        captions.append(f"{said}{escape(plain_text(name))}")
    if len(known) > _MOST_PICTURES:
        captions.append(f"and {len(known) - _MOST_PICTURES} more")
    captions.append(escape(plain_text(finding.detail)))
    side_by_side = f'<div class="pair">{"".join(pictures)}</div>' if pictures else ""
    return f"<figure>{side_by_side}<figcaption>{'<br>'.join(captions)}</figcaption></figure>"


def _picture(listing: Listing, index: int) -> str | None:
    """A thumbnail as a data URI; None for an image that cannot be read."""
    try:
        image = listing.read_image(index)
    except Exception:  # it was found for being damaged, or has gone since
        return None
    return thumbnail(np.asarray(image.convert("RGB")))

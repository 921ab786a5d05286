"""report.html: the figures of one or several runs on one self-contained page."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from kerastricks.charts.page import note, plain_text, write_page
from kerastricks.charts.svg import page_style
from kerastricks.report import sections
from kerastricks.report.curve_charts import calibration_chart, curves
from kerastricks.report.figures import RunFigures

_HEAT = "places that speak for"
# Of several runs, so that a page stays below two megabytes.
_MOST_DETAILED, _MOST_PICTURES = 5, 3


def write_report(path: Path, runs: Sequence[RunFigures]) -> None:
    """Writes the page atomically.

    Args:
        path: the file.
        runs: one or several; their curves and calibration are in common figures.

    Raises:
        WriteError: where it cannot be written.
    """
    with page_style():
        parts = _one(runs[0]) if len(runs) == 1 else _several(runs)
    body = "\n".join(
        f'<section id="{name}">\n<h2>{title}</h2>\n{content}\n</section>' for name, title, content in parts
    )
    head = _head(runs[0]) if len(runs) == 1 else ""
    title = f"Report: {runs[0].name}" if len(runs) == 1 else f"Report of {len(runs)} runs"
    write_page(path, title, f"{head}\n{body}", {name: title for name, title, _ in parts})


_Part = tuple[str, str, str]  # id, heading as HTML, content


def _head(run: RunFigures) -> str:
    return sections.tiles(run) + "".join(note(text) for text in run.notes)


def _one(run: RunFigures) -> list[_Part]:
    parts = [("findings", "Findings", sections.finding_cards(run.findings))] if run.findings else []
    found = curves([run], "c")
    if found:
        parts.append(("curves", "Curves", found))
    return [*parts, *_own(run, ""), ("calibration", "Calibration", _calibration([run])), *_about(run, "")]


def _several(runs: Sequence[RunFigures]) -> list[_Part]:
    parts = [("comparison", "Comparison", sections.comparison(runs))]
    found = curves(runs, "c")
    if found:
        parts.append(("curves", "Curves", found))
    parts.append(("calibration", "Calibration", _calibration(runs)))
    for index, run in enumerate(runs[:_MOST_DETAILED]):
        run = replace(run, mistakes=run.mistakes[:_MOST_PICTURES], doubtful=run.doubtful[:_MOST_PICTURES])
        own = [*_own(run, f"-{index}"), *_about(run, f"-{index}")]
        if run.findings:
            own.insert(0, ("findings", "Findings", sections.finding_cards(run.findings)))
        content = "\n".join(f"<h3>{title}</h3>\n{one}" for _, title, one in own)
        parts.append((f"run-{index}", escape(plain_text(run.name)), f"{_head(run)}\n{content}"))
    if len(runs) > _MOST_DETAILED:
        text = f"<p>Confusions and pictures of the other {len(runs) - _MOST_DETAILED} are in their own reports.</p>"
        parts.append(("others", "Other runs", text))
    return parts


def _own(run: RunFigures, suffix: str) -> list[_Part]:
    parts = [
        (f"confusions{suffix}", "Confusions", sections.confusions(run)),
        (f"classes{suffix}", "Classes", sections.class_table(run)),
    ]
    heat = _heat_note(run)
    if run.mistakes:
        text = f"<p>Wrong predictions with the largest probability. {heat}</p>"
        parts.append((f"mistakes{suffix}", "Most confident mistakes", text + sections.pictures(run.mistakes, _HEAT)))
    if run.doubtful:
        text = f"<p>Right predictions with the smallest probability. {heat}</p>"
        parts.append((f"doubtful{suffix}", "Most doubtful hits", text + sections.pictures(run.doubtful, _HEAT)))
    return parts


def _heat_note(run: RunFigures) -> str:
    if any(one.heat for one in (*run.mistakes, *run.doubtful)):
        return "Beside each image: where the evidence for the predicted class lies (Grad-CAM, arXiv 1610.02391)."
    return escape(plain_text(run.picture_note))


def _calibration(runs: Sequence[RunFigures]) -> str:
    chart = calibration_chart(runs, "c")
    if not chart:
        return "<p>It needs the test images, which were not to be had.</p>"
    known = [(run.name, run.calibration) for run in runs if run.calibration is not None]
    errors = "; ".join(
        f"{escape(plain_text(name))}: expected calibration error {one.error:.3f}" if len(runs) > 1
        else f"Expected calibration error {one.error:.3f}"
        for name, one in known
    )  # fmt: skip
    return (
        f"<p>{errors}. Each dot is an interval of the largest probability, large with many images; above the dashed "
        "line the classifier is too cautious, below it too certain.</p>\n"
        f'<div class="columns three">{chart}</div>'
    )


def _about(run: RunFigures, suffix: str) -> list[_Part]:
    return [(f"configuration{suffix}", "The run", sections.configuration(run))]

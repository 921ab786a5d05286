"""search.html: a search on one page that needs nothing else."""

from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from kerastricks.charts.axes import short_score, short_value
from kerastricks.charts.page import fact_list, half_figure, note, plain_text, tile, write_page
from kerastricks.charts.parallel_coordinates import Line, plot_parallel_coordinates
from kerastricks.charts.svg import inline_svg, page_style
from kerastricks.progress import clock
from kerastricks.search.importance import Importance, importance_of
from kerastricks.search.page_charts import draw_against, draw_importance, draw_learning_curves
from kerastricks.search.trial_record import TrialRecord, counts
from kerastricks.search.trial_table import Sheet, trial_table

_MOST_SCATTERS = 6


def write_html(
    path: Path,
    records: Sequence[TrialRecord],
    title: str,
    facts: Mapping[str, Any],
    log_names: Collection[str] | None = None,
) -> None:
    """Writes the page atomically.

    Args:
        path: the file.
        records: of the finished trials; none, one and only failed ones are allowed.
        title: of the page.
        facts: shown at the top: name to value.
        log_names: values on a logarithmic scale; by default those that look so.
    """
    sheet = Sheet(
        records,
        records[0].objective if records else "objective",
        records[0].direction if records else "min",
        log_names,
    )
    with page_style():
        parts = [_summary(sheet, facts)]
        if records:
            importance = importance_of(records, log_names)
            parts += [_parallel(sheet), _scatters(sheet, importance), _reasons(sheet, importance), _table(sheet)]
    write_page(path, title, "\n".join(parts))


def _summary(sheet: Sheet, facts: Mapping[str, Any]) -> str:
    tiles = []
    if sheet.best is not None:
        record = sheet.records[sheet.best]
        tiles.append(tile(short_score(record.score), f"best {sheet.objective}, trial {record.trial}", "best"))
    tiles += [tile(str(number), status, status) for status, number in counts(sheet.records).items()]
    tiles.append(tile(clock(sum(record.seconds for record in sheet.records)), "time of all trials"))
    parts = [f'<div class="tiles">{"".join(tiles)}</div>']
    rows = {str(name): plain_text(value) for name, value in facts.items()}
    if sheet.best is not None:
        values = sheet.records[sheet.best].values
        rows = {"best values": ", ".join(f"{name} {short_value(value)}" for name, value in values.items()), **rows}
    elif sheet.records:
        parts.append(note("No trial has a score yet: the table at the end gives the reasons."))
    else:
        parts.append(note("No trial is finished yet."))
    if rows:
        parts.append(fact_list(rows))
    return "\n".join(parts)


def _parallel(sheet: Sheet) -> str:
    if not sheet.axes:
        return "<h2>Values and objective</h2>\n<p>No value differs between the trials.</p>"
    lines = [
        Line(
            index,
            sheet.records[index].values,
            sheet.score(index) if index in sheet.scored else None,
            sheet.colours[index],
            is_best=index == sheet.best,
            is_thin=sheet.records[index].status == "stopped",
        )
        for index in [*sheet.unscored, *sheet.scored]
    ]
    less_is_better = sheet.direction == "min"
    figure = plot_parallel_coordinates(sheet.axes, lines, sheet.objective, sheet.score_limits, less_is_better)
    width = 90 * (len(sheet.axes) + 1)
    svg = inline_svg(figure, "p", "parallel coordinates of all trials", sheet.titles)
    return (
        "<h2>Values and objective</h2>\n<p>Each line is a trial. "
        f'<span class="scale"></span> from the best {escape(plain_text(sheet.objective))} to the worst, by rank; '
        "red is the best one, dashed are failed ones. Point at a trial to see it everywhere, click to keep it.</p>\n"
        f'<div class="wide"><figure style="min-width:{max(820, width)}px">{svg}</figure></div>'
    )


def _scatters(sheet: Sheet, importance: Importance) -> str:
    share = {one.name: one.share for one in importance.shares}
    chosen = [
        axis
        for axis in sheet.axes
        if axis.name == "learning_rate" or axis.kind == "log" or share.get(axis.name, 0) >= 0.05
    ] or sheet.axes[:1]
    most = _MOST_SCATTERS if sheet.scored else 1
    chosen.sort(key=lambda axis: (axis.name != "learning_rate", -share.get(axis.name, 0)))
    drawn = [
        (draw_against(sheet, axis), f"s{i}", f"{sheet.objective} against {axis.name}")
        for i, axis in enumerate(chosen[:most])
    ]
    drawn.insert(1, (draw_learning_curves(sheet), "c", f"{sheet.objective} after each epoch"))
    return (
        "<h2>Values against objective, and learning curves</h2>\n"
        "<p>A stopped trial is pale and its curve ends early; a triangle lies beyond the edge.</p>\n"
        f'<div class="columns">{"".join(half_figure(*one, sheet.titles) for one in drawn)}</div>'
    )


def _reasons(sheet: Sheet, found: Importance) -> str:
    parts = ["<h2>Importance of each value</h2>"]
    if found.note:
        parts.append(note(found.note))
    if found.shares:
        figure = half_figure(draw_importance(found), "i", "importance of each value", sheet.titles)
        parts.append(
            f"<p>From {found.trials} trials, by a random forest and functional ANOVA: the share of the variance of the "
            f"rank by {escape(plain_text(sheet.objective))} that each value explains by itself; another "
            f"{found.rest:.0%} is explained by several together. On trials that were held out the forest reaches "
            f"R² = {found.fit:.2f}.</p>\n"
            f'<div class="columns">{figure}</div>'
        )
    return "\n".join(parts)


def _table(sheet: Sheet) -> str:
    return f'<h2>All trials</h2>\n<div class="wide">{trial_table(sheet)}</div>'

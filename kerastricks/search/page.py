"""search.html: the charts and the table of a search on one self-contained page."""

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
from kerastricks.search.page_charts import plot_against, plot_importance, plot_learning_curves
from kerastricks.search.trial_record import TrialRecord, counts
from kerastricks.search.trial_table import TrialTable, html_table

_MOST_SCATTERS = 6


def write_html(
    path: Path,
    records: Sequence[TrialRecord],
    title: str,
    facts: Mapping[str, Any],
    log_names: Collection[str] | None = None,
) -> None:
    """Writes search.html atomically.

    Args:
        path: the file.
        records: of the finished trials; none, one and only failed ones are allowed.
        title: of the page.
        facts: shown at the top: name to value.
        log_names: values on a logarithmic scale; by default those that look so.
    """
    table = TrialTable(
        records,
        records[0].objective if records else "objective",
        records[0].direction if records else "min",
        log_names,
    )
    with page_style():
        parts = [_summary(table, facts)]
        if records:
            importance = importance_of(records, log_names)
            parts += [_parallel(table), _scatters(table, importance), _reasons(table, importance), _table(table)]
    write_page(path, title, "\n".join(parts))


def _summary(table: TrialTable, facts: Mapping[str, Any]) -> str:
    tiles = []
    if table.best is not None:
        record = table.records[table.best]
        tiles.append(tile(short_score(record.score), f"best {table.objective}, trial {record.trial}", "best"))
    tiles += [tile(str(number), status, status) for status, number in counts(table.records).items()]
    tiles.append(tile(clock(sum(record.seconds for record in table.records)), "time of all trials"))
    parts = [f'<div class="tiles">{"".join(tiles)}</div>']
    rows = {str(name): plain_text(value) for name, value in facts.items()}
    if table.best is not None:
        values = table.records[table.best].values
        rows = {"best values": ", ".join(f"{name} {short_value(value)}" for name, value in values.items()), **rows}
    elif table.records:
        parts.append(note("No trial has a score yet: the table at the end gives the reasons."))
    else:
        parts.append(note("No trial is finished yet."))
    if rows:
        parts.append(fact_list(rows))
    return "\n".join(parts)


def _parallel(table: TrialTable) -> str:
    if not table.axes:
        return "<h2>Values and objective</h2>\n<p>No value differs between the trials.</p>"
    lines = [
        Line(
            index,
            table.records[index].values,
            table.score(index) if index in table.scored else None,
            table.colours[index],
            is_best=index == table.best,
            is_thin=table.records[index].status == "stopped",
        )
        for index in [*table.unscored, *table.scored]
    ]
    less_is_better = table.direction == "min"
    figure = plot_parallel_coordinates(table.axes, lines, table.objective, table.score_limits, less_is_better)
    width = 90 * (len(table.axes) + 1)
    svg = inline_svg(figure, "p", "parallel coordinates of all trials", table.titles)
    return (
        "<h2>Values and objective</h2>\n<p>Each line is a trial. "
        f'<span class="scale"></span> from the best {escape(plain_text(table.objective))} to the worst, by rank; '
        "red is the best one, dashed are failed ones. Point at a trial to see it everywhere, click to keep it.</p>\n"
        f'<div class="wide"><figure style="min-width:{max(820, width)}px">{svg}</figure></div>'
    )


def _scatters(table: TrialTable, importance: Importance) -> str:
    share = {one.name: one.share for one in importance.shares}
    chosen = [
        axis
        for axis in table.axes
        if axis.name == "learning_rate" or axis.kind == "log" or share.get(axis.name, 0) >= 0.05
    ] or table.axes[:1]
    most = _MOST_SCATTERS if table.scored else 1
    chosen.sort(key=lambda axis: (axis.name != "learning_rate", -share.get(axis.name, 0)))
    drawn = [
        (plot_against(table, axis), f"s{i}", f"{table.objective} against {axis.name}")
        for i, axis in enumerate(chosen[:most])
    ]
    drawn.insert(1, (plot_learning_curves(table), "c", f"{table.objective} after each epoch"))
    return (
        "<h2>Values against objective, and learning curves</h2>\n"
        "<p>A stopped trial is pale and its curve ends early; a triangle lies beyond the edge.</p>\n"
        f'<div class="columns">{"".join(half_figure(*one, table.titles) for one in drawn)}</div>'
    )


def _reasons(table: TrialTable, found: Importance) -> str:
    parts = ["<h2>Importance of each value</h2>"]
    if found.note:
        parts.append(note(found.note))
    if found.shares:
        figure = half_figure(plot_importance(found), "i", "importance of each value", table.titles)
        parts.append(
            f"<p>From {found.trials} trials, by a random forest and functional ANOVA: the share of the variance of the "
            f"rank by {escape(plain_text(table.objective))} that each value explains by itself; another "
            f"{found.rest:.0%} is explained by several together. On trials that were held out the forest reaches "
            f"R² = {found.fit:.2f}.</p>\n"
            f'<div class="columns">{figure}</div>'
        )
    return "\n".join(parts)


def _table(table: TrialTable) -> str:
    return f'<h2>All trials</h2>\n<div class="wide">{html_table(table)}</div>'

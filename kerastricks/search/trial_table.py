"""The trials of a search as its charts share them: axes, colours, limits and tooltips; and as an HTML table."""

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from kerastricks.charts.axes import ValueAxis, short_score, short_value, value_axes
from kerastricks.charts.svg import BEST, FAILED
from kerastricks.search.trial_record import TrialRecord, has_score, ranked

_MAP = colormaps["viridis"]


@dataclass(frozen=True)
class TrialTable:
    """The trials as rows of a table and points of charts.

    Args:
        records: in the order of the file; a trial's index in them marks it on the page.
        objective: name of the metric.
        direction: "min" or "max".
        log_names: values on a logarithmic scale; None for those that look so.
    """

    records: Sequence[TrialRecord]
    objective: str
    direction: str
    log_names: Collection[str] | None = None

    @cached_property
    def axes(self) -> list[ValueAxis]:
        """The axes of the values that are not constant."""
        return [
            axis for axis in value_axes([record.values for record in self.records], self.log_names) if not axis.constant
        ]

    @cached_property
    def best(self) -> int | None:
        """Index of the best trial."""
        first = ranked(self.records)[:1]
        return next((i for i, record in enumerate(self.records) if record is first[0]), None) if first else None

    @cached_property
    def scored(self) -> list[int]:
        """Indices of trials with a score, worst first, so that the better is drawn over the worse."""
        found = [index for index, record in enumerate(self.records) if has_score(record)]
        return sorted(found, key=lambda index: self._sign * self.score(index), reverse=True)

    @cached_property
    def unscored(self) -> list[int]:
        """Indices of trials without a score."""
        return [index for index, record in enumerate(self.records) if not has_score(record)]

    @cached_property
    def colours(self) -> list[str]:
        """By rank, dark is good; the best and those without a score have colours of their own."""
        colours = [FAILED] * len(self.records)
        for position, index in enumerate(self.scored):
            colours[index] = to_hex(_MAP(0.92 * (1 - position / max(len(self.scored) - 1, 1))))
        if self.best is not None:
            colours[self.best] = BEST
        return colours

    @cached_property
    def titles(self) -> dict[int, str]:
        """Tooltips by index."""
        return {index: _title(record) for index, record in enumerate(self.records)}

    @property
    def _sign(self) -> int:
        return 1 if self.direction == "min" else -1

    def score(self, index: int) -> float:
        """The score of a trial that has one."""
        score = self.records[index].score
        assert score is not None
        return score

    def curve(self, index: int) -> tuple[list[float], list[float]]:
        """Epochs and the objective after them, where it is a number."""
        points = [
            (float(row["epoch"]), float(row[self.objective]))
            for row in self.records[index].curve
            if row.get("epoch") is not None and _is_finite(row.get(self.objective))
        ]
        return [epoch for epoch, _ in points], [value for _, value in points]

    @property
    def score_limits(self) -> tuple[float, float]:
        """The `limits` of the scores; 0 to 1 where there are none."""
        return self.limits([self.score(index) for index in self.scored]) if self.scored else (0.0, 1.0)

    def limits(self, values: Sequence[float]) -> tuple[float, float]:
        """From the best value to the worst, but outliers on the worse side (Tukey's fence) are left outside."""
        worse = np.asarray(values, np.float64) * self._sign
        quarter, three_quarters = np.quantile(worse, [0.25, 0.75])
        fence = three_quarters + 3 * (three_quarters - quarter)
        inside = worse[worse <= fence]
        low, high = float(inside.min()), float(inside.max())
        room = 0.04 * (high - low) or 0.05 * abs(low) or 0.05
        return min(edges := (self._sign * (low - room), self._sign * (high + room))), max(edges)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _title(record: TrialRecord) -> str:
    head = f"trial {record.trial}, {record.status}"
    if record.score is not None and math.isfinite(record.score):
        head += f", {record.objective} {short_score(record.score)}"
    return "\n".join([head, *(f"{name}: {short_value(value)}" for name, value in record.values.items())])


def html_table(table: TrialTable) -> str:
    """Formats a row per trial; `data-v` holds the sort key of each cell."""
    names = list(dict.fromkeys(name for record in table.records for name in record.values))
    heads = ["trial", "status", table.objective, "epochs", "seconds", *names, "attempts", "worker", "run", "reason"]
    rows = [_row(table, index, record, names) for index, record in enumerate(table.records)]
    head = "".join(f'<th scope="col">{escape(short_value(name, 40))}</th>' for name in heads)
    return (
        f'<table class="sortable">\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody>\n</table>"
    )


def _row(table: TrialTable, index: int, record: TrialRecord, names: list[str]) -> str:
    cells = [
        _cell(record.trial, record.trial),
        _cell(record.status, record.status, record.status),
        _cell(short_score(record.score), record.score),
        _cell(str(len(record.curve)), len(record.curve)),
        _cell(f"{record.seconds:.1f}", record.seconds),
    ]
    for name in names:
        if name in record.values:
            cells.append(_cell(short_value(record.values[name]), record.values[name]))
        else:
            cells.append('<td class="none" data-v="">-</td>')
    cells += [
        _cell(str(record.attempts), record.attempts),
        _cell(record.worker, record.worker),
        _cell(record.run or "", record.run or ""),
        _cell(record.reason or "", record.reason or "", "reason"),
    ]
    best = " best" if index == table.best else ""
    return f'<tr class="t t{index}{best}">' + "".join(cells) + "</tr>"


def _cell(text: str, key: Any, kind: str = "") -> str:
    key = "" if key is None else key if isinstance(key, str) else json.dumps(key, default=str)
    marked = f' class="{kind}"' if kind else ""
    return f'<td{marked} data-v="{escape("" if key == "NaN" else key)}">{escape(text)}</td>'

"""All trials of a search as an HTML table."""

import json
from html import escape
from typing import Any

from kerastricks.search.sheet import Sheet
from kerastricks.search.short_value import short_score, short_value
from kerastricks.search.trial_record import TrialRecord


def trial_table(sheet: Sheet) -> str:
    """One row a trial, with what a script sorts by in `data-v`."""
    names = list(dict.fromkeys(name for record in sheet.records for name in record.values))
    heads = ["trial", "status", sheet.objective, "epochs", "seconds", *names, "attempts", "worker", "run", "reason"]
    rows = [_row(sheet, index, record, names) for index, record in enumerate(sheet.records)]
    head = "".join(f'<th scope="col">{escape(short_value(name, 40))}</th>' for name in heads)
    return (
        f'<table class="trials">\n<thead><tr>{head}</tr></thead>\n<tbody>\n' + "\n".join(rows) + "\n</tbody>\n</table>"
    )


def _row(sheet: Sheet, index: int, record: TrialRecord, names: list[str]) -> str:
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
    best = " best" if index == sheet.best else ""
    return f'<tr class="t t{index}{best}">' + "".join(cells) + "</tr>"


def _cell(text: str, key: Any, kind: str = "") -> str:
    key = "" if key is None else key if isinstance(key, str) else json.dumps(key, default=str)
    marked = f' class="{kind}"' if kind else ""
    return f'<td{marked} data-v="{escape("" if key == "NaN" else key)}">{escape(text)}</td>'

"""The terminal view of a running search."""

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kerastricks.charts.axes import short_score, short_value
from kerastricks.progress import clock
from kerastricks.search.trial_record import TrialRecord, counts, ranked

_MARKS = {"completed": "green", "stopped": "yellow", "failed": "red"}
_MOST_LIVE = 8


@dataclass
class _Running:
    values: Mapping[str, Any]
    started: float
    epoch: int = 0
    epochs: int = 0
    metric: float | None = None


class SearchView:
    """One line per finished trial, and on a terminal a live one for each that runs.

    Its methods may be called from several threads.

    Args:
        console: rich's.
        objective: name of the metric.
        direction: "min" or "max".
        total_trials: how many there will be; None where unknown.
        names: of the values, in the order in which they are shown.
        workers: how many trials run at once; for the time that is left.
        records: trials finished before the search was resumed: counted, not printed.
        now: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        console: Console,
        objective: str,
        direction: str,
        total_trials: int | None,
        names: Sequence[str],
        workers: int = 1,
        records: Iterable[TrialRecord] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objective = objective
        self.direction = direction
        self.total_trials = total_trials
        self.names = list(names)
        self.workers = max(workers, 1)
        self.records = list(records)
        self._console = console
        self._now = now
        self._running: dict[str, _Running] = {}
        self._live: Live | None = None
        self._refreshed = float("-inf")
        self._lock = threading.RLock()
        self._name_width = max([2, *(len(record.trial) for record in self.records)])

    def begin(self, trial: str, values: Mapping[str, Any]) -> None:
        """Shows that a trial starts, or starts again."""
        with self._lock:
            self._running[trial] = _Running(dict(values), self._now())
            self._refresh()

    def epoch(self, trial: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Shows that a trial finished an epoch.

        Args:
            trial: its name.
            epoch: which, from 1.
            epochs: how many it will have at most.
            metrics: logged at its end.
        """
        with self._lock:
            running = self._running.setdefault(trial, _Running({}, self._now()))
            running.epoch, running.epochs, running.metric = epoch, epochs, metrics.get(self.objective, running.metric)
            self._refresh()

    def tick(self) -> None:
        """Refreshes the live lines, at most five times a second: for a loop that waits."""
        with self._lock:
            if self._now() - self._refreshed > 0.2:
                self._refresh()

    def end(self, record: TrialRecord) -> None:
        """Prints the line of a finished trial."""
        with self._lock:
            self._running.pop(record.trial, None)
            self.records.append(record)
            better = record.status != "failed" and ranked(self.records)[:1] == [record]
            wide = self._console.width if self._console.is_terminal else None
            self._console.print(self._finished(record, better, wide), soft_wrap=True)
            self._refresh()

    def close(self) -> None:
        """Removes the live lines; also when the search is interrupted."""
        with self._lock:
            self._running.clear()
            if self._live is not None:
                self._live.update(Text(""), refresh=False)
                self._live.stop()
                self._live = None

    def summary(self, top: int = 5, console: Console | None = None) -> None:
        """Prints the best trials and the counts of completed, stopped and failed ones.

        Args:
            top: how many.
            console: another one to print to.
        """
        console = console or self._console
        with self._lock:
            best = ranked(self.records)[:top]
            number = counts(self.records)
        width = max([5, *(len(record.trial) for record in best)])
        score_width = len(self.objective)
        indent = width + 2 + score_width + 2 + 8 + 2
        if best:
            title = f"{'trial':<{width}}  {self.objective}  {'time':>8}  values"
            console.print(Text(title, "bold"), soft_wrap=True)
        for record in best:
            head = f"{record.trial:<{width}}  {short_score(record.score):>{score_width}}  {clock(record.seconds):>8}  "
            for index, line in enumerate(_filled(self._values(record.values), console.width - indent)):
                console.print(Text(head if index == 0 else " " * indent).append(line), soft_wrap=True)
        if not best:
            console.print(Text(f"no trial has a {self.objective}"), soft_wrap=True)
        console.print(
            Text(f"{len(self.records)} trials: " + ", ".join(f"{n} {status}" for status, n in number.items())),
            soft_wrap=True,
        )

    def seconds_left(self) -> float | None:
        """Estimates the time left from the median of finished trials, or the progress of running ones."""
        if self.total_trials is None:
            return None
        now = self._now()
        took = [record.seconds for record in self.records]
        if not took:
            took = [(now - one.started) / one.epoch * one.epochs for one in self._running.values() if one.epoch]
        if not took:
            return None
        usual = statistics.median(took)
        waiting = max(self.total_trials - len(self.records) - len(self._running), 0)
        rest = [max(usual - (now - one.started), 0.0) for one in self._running.values()]
        return max((waiting * usual + sum(rest)) / self.workers, max(rest, default=0.0))

    def _values(self, values: Mapping[str, Any]) -> list[str]:
        order = [name for name in self.names if name in values] + [name for name in values if name not in self.names]
        return [f"{name} {short_value(values[name])}" for name in order]

    def _finished(self, record: TrialRecord, better: bool, width: int | None) -> Text:
        self._name_width = max(self._name_width, len(record.trial))
        line = Text(f"trial {record.trial:<{self._name_width}}  ")
        line.append(f"{record.status:<9}", _MARKS[record.status])
        line.append(f"  {self.objective} {short_score(record.score)}  {clock(record.seconds)}")
        if better:
            line.append("  best so far", "bold green")
        if record.reason:
            line.append(f"  {' '.join(record.reason.split())}", _MARKS[record.status])
        values = self._values(record.values)
        if width is None:
            return line.append("".join(f"  {value}" for value in values))
        return line.append(_cut(values, width - line.cell_len))

    def _refresh(self) -> None:
        if not self._console.is_terminal:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._refreshed = self._now()
        width = self._console.width
        lines = [self._alive(trial, running, width) for trial, running in list(self._running.items())[:_MOST_LIVE]]
        if len(self._running) > _MOST_LIVE:
            lines.append(f"… and {len(self._running) - _MOST_LIVE} more")
        lines.append(self._state())
        self._live.update(Text("\n".join(line[:width] for line in lines), no_wrap=True, style="dim"), refresh=True)

    def _alive(self, trial: str, running: _Running, width: int) -> str:
        parts = [f"trial {trial:<{self._name_width}}"]
        if running.epochs:
            parts.append(f"epoch {running.epoch}/{running.epochs}")
        if running.metric is not None:
            parts.append(f"{self.objective} {short_score(running.metric)}")
        parts.append(clock(self._now() - running.started))
        line = "  ".join(parts)
        return line + _cut(self._values(running.values), width - len(line))

    def _state(self) -> str:
        total = "" if self.total_trials is None else f"/{self.total_trials}"
        parts = [f"{len(self.records)}{total} trials"]
        best = ranked(self.records)[:1]
        if best:
            parts.append(f"best {self.objective} {short_score(best[0].score)} (trial {best[0].trial})")
        left = self.seconds_left()
        if left:
            parts.append(f"ETA {clock(left)}")
        return "  ".join(parts)


def _cut(values: list[str], room: int) -> str:
    """Formats as many values as there is room for, and the number left out."""
    shown = ""
    for index, value in enumerate(values):
        left = len(values) - index - 1
        more = f"  +{left}" if left else ""
        if len(shown) + 2 + len(value) + len(more) > room:
            cut = f"  +{len(values) - index}"
            return shown + cut if len(shown) + len(cut) <= room else shown
        shown += f"  {value}"
    return shown


def _filled(values: list[str], room: int) -> list[str]:
    """Wraps values into lines, none of them broken."""
    lines = [""]
    for value in values:
        if lines[-1] and len(lines[-1]) + 2 + len(value) > room:
            lines.append("")
        lines[-1] += f"  {value}" if lines[-1] else value
    return lines

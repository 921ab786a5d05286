"""kerastricks schedule"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import options
from kerastricks.cli.quiet import import_keras

_MOST_POINTS = 1000
_HEIGHT = 8


def _complete_schedule(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from kerastricks.schedules.specs import CATALOG

    return [name for name in CATALOG if name.startswith(incomplete)]


@click.command()
@click.argument("spec", required=False, type=options.SPEC, shell_complete=_complete_schedule)
@click.option(
    "--steps", type=options.number(1, 2**31 - 1), default=1000, show_default=True, help="Steps of the whole training."
)
@click.option(
    "--out",
    type=options.PNG,
    metavar="PNG",
    help="Plot the schedule, or all of them without SPEC.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the rates, of at most 1,000 steps.")
def schedule(spec: str | None, steps: int, out: Path | None, as_json: bool) -> None:
    """Plot the learning rate of the schedule SPEC, or list all schedules.

    The first argument of SPEC is the highest rate, 1 where it is not given. Durations are fractions of all steps.

    \b
    kerastricks schedule
    kerastricks schedule "one_cycle(0.1)" --steps 1000 --out one_cycle.png
    kerastricks schedule "step(factor=5, at=(0.5, 0.75))" --json
    """
    from kerastricks.schedules.specs import CATALOG, read_schedule
    from kerastricks.spec import parse

    specs = list(CATALOG) if spec is None else [spec]
    planned = {text: read_schedule(text, steps, None if parse(text).args else 1.0) for text in specs}
    if spec is None and out is None:
        _list(as_json)
        return

    import_keras()
    curves = {text: _curve(each, steps) for text, each in planned.items()}
    if out is not None:
        from kerastricks.schedules.curves import plot_schedules

        plot_schedules({text: ([*curve], [*curve.values()]) for text, curve in curves.items()}, out)
    if spec is None:
        from kerastricks.cli import screen

        screen.say(f"{len(curves)} schedules of {steps:,} steps, with a peak of 1: {out}")
        return
    at, rates = [*curves[spec]], [*curves[spec].values()]
    if as_json:
        peak = max(rates)
        found = {"first": rates[0], "peak": peak, "peak_step": at[rates.index(peak)], "last": rates[-1]}
        click.echo(json.dumps({"spec": spec, "total_steps": steps, **found, "steps": at, "rates": rates}))
        return
    _show(spec, at, rates, out)


def _curve(planned: Any, steps: int) -> dict[int, float]:
    """Sample the rate at all steps, or at as many as can be plotted, and at its highest."""
    from kerastricks.schedules.curves import rates

    schedule = planned.build()
    at = _spread(0, steps - 1, _MOST_POINTS if steps <= _MOST_POINTS else _MOST_POINTS - 1)
    found = dict(zip(at, rates(schedule, at), strict=True))
    if len(at) < steps:  # the highest rate may lie between two of them
        index = at.index(max(found, key=lambda step: found[step]))
        near = _spread(at[max(index - 1, 0)], at[min(index + 1, len(at) - 1)], 400)
        close = dict(zip(near, rates(schedule, near), strict=True))
        peak = max(close, key=lambda step: close[step])
        found[peak] = close[peak]
    return {step: float(f"{found[step]:.6g}") for step in sorted(found)}


def _spread(first: int, last: int, most: int) -> list[int]:
    count = min(last - first + 1, most)
    return sorted({first + round(index * (last - first) / max(count - 1, 1)) for index in range(count)})


def _show(spec: str, at: Sequence[int], rates: Sequence[float], out: Path | None) -> None:
    from kerastricks.cli import screen
    from kerastricks.schedules.curves import text_plot

    highest = max(rates)
    labels = [f"{highest:.3g}", *[""] * (_HEIGHT - 2), "0"]
    margin = max(map(len, labels))
    width = max(min(screen.output.width - margin - 3, 100), 10)
    unicode = (screen.output.encoding or "").lower().startswith("utf")
    lines = text_plot(rates, width, _HEIGHT, unicode)
    for label, line in zip(labels, lines, strict=True):
        screen.output.print(f"{label:>{margin}} {'┤' if unicode else '|'}{line}", soft_wrap=True)
    last = f"{at[-1]:,}"
    screen.output.print(f"{'':{margin}}  0{last:>{width - 1}}", soft_wrap=True)
    peak = at[rates.index(highest)]
    screen.output.print(
        f"first {rates[0]:.4g}, peak {highest:.4g} at step {peak:,}, last {rates[-1]:.4g} at step {last}",
        soft_wrap=True,
    )
    if spec.startswith("plateau"):
        screen.output.print(
            "it is divided where validation stops getting better, which no plot can know", soft_wrap=True
        )
    if out is not None:
        screen.say(f"drawn: {out}")


def _list(as_json: bool) -> None:
    import inspect

    from kerastricks.schedules.specs import CATALOG, SCHEDULES

    rows: dict[str, dict[str, Any]] = {}
    for name, entry in CATALOG.items():
        parameters = inspect.signature(SCHEDULES[name]).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        rows[name] = {"formula": entry.formula, "arguments": options, "serves": entry.serves, "source": entry.source}
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.table import Table

    from kerastricks.cli import screen

    table = Table(box=None, pad_edge=False)
    table.add_column("schedule", no_wrap=True)
    table.add_column("rate (t: step of T, p: peak, w: warm-up)", no_wrap=True)
    if roomy := screen.output.width >= 130:
        table.add_column("arguments", style="dim", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, row["formula"], *([", ".join(row["arguments"])] if roomy else []))
    screen.output.print(table)
    screen.output.print('\nkerastricks schedule "one_cycle(0.1, warmup=0.2)" draws one of them', style="dim")

"""Runs rows in turn and prints medians with ratios: what every benchmark here shares."""

import statistics
from collections.abc import Callable, Mapping


def measure(rows: Mapping[str, Callable[[], float]], rounds: int = 5) -> dict[str, list[float]]:
    """Calls each row once a round, all rows in turn, so that a machine that slows down slows all of them."""
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, row in rows.items():
            found[name].append(row())
    return found


def show(title: str, unit: str, found: Mapping[str, list[float]], reference: str) -> None:
    """A Markdown table: median, smallest and largest, and the median of the paired ratios to `reference`."""
    print(f"\n{title}\n")
    print(f"| | {unit} (median) | min - max | ratio to '{reference}' |")
    print("|---|---|---|---|")
    for name, values in found.items():
        ratio = statistics.median(a / b for a, b in zip(values, found[reference], strict=True))
        spread = f"{min(values):.4g} - {max(values):.4g}"
        print(f"| {name} | {statistics.median(values):.4g} | {spread} | {ratio:.2f} |")

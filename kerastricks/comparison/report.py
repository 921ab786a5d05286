"""The result of a comparison: rows with means, differences and verdicts; as text, JSON and a plot."""

import io
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kerastricks.comparison.plot import plot_comparison
from kerastricks.metrics.paired_differences import CONFIDENCE, PairedDifference, holm, paired_difference

MEASURES = (
    "log_loss", "accuracy", "training_log_loss", "training_accuracy", "validation_accuracy", "seconds",
)  # fmt: skip
COMPARED = {"log_loss": False, "accuracy": True}  # with the baseline: whether more is better

_WIDTH = 100
_MANY_SEEDS = 1000


@dataclass(frozen=True)
class Comparison:
    """The runs of a comparison and the conclusions from them.

    Args:
        plan: kind, model, arms, seeds, limit, config, data, backend, device, versions.
        runs: a record for each arm and seed, as in runs.jsonl.
    """

    plan: dict[str, Any]
    runs: tuple[dict[str, Any], ...]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row per arm, in order.

        Each has `arm`, `runs`, `diverged` (how many), `parameters`, `mean` and `std` (by measure; std is None for one
        seed), and `difference`: for "log_loss" and "accuracy" a dictionary with the fields of `PairedDifference`,
        `holm_p_value`, `verdict` ("better", "worse", "cannot tell", "same") and `seeds_needed`; None for the baseline.
        """
        arms = self.plan["arms"]
        compared = {measure: self._compare(measure) for measure in COMPARED}
        return [
            {
                "arm": arm,
                "runs": len(self.values(arm, "seed")),
                "diverged": sum(run["diverged"] is not None for run in self.runs if run["arm"] == arm),
                "parameters": next(run["parameters"] for run in self.runs if run["arm"] == arm),
                "mean": {measure: float(np.mean(self.values(arm, measure))) for measure in MEASURES},
                "std": {measure: _std(self.values(arm, measure)) for measure in MEASURES},
                "difference": {name: found[arm] for name, found in compared.items()} if arm != arms[0] else None,
            }
            for arm in arms
        ]

    def values(self, arm: str, measure: str) -> list[float]:
        """One measure of an arm, seed by seed."""
        by_seed = {run["seed"]: run[measure] for run in self.runs if run["arm"] == arm}
        return [by_seed[seed] for seed in self.plan["seeds"]]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON: the plan's fields, `rows` and `runs`."""
        return {**self.plan, "rows": self.rows, "runs": list(self.runs)}

    def to_text(self) -> str:
        """Formats the tables, as `kerastricks compare` prints them."""
        return format_comparison(self)

    def plot(self, path: str | Path) -> None:
        """Plots every seed, mean and interval of every arm.

        Args:
            path: of the PNG.
        """
        plan = self.plan
        counts = f"{_count_seeds(plan)}, {_count_epochs(plan)}"
        title = f"{plan['kind']} on {plan['model']}, {plan['data']['name']}: {counts}"
        plot_comparison(title, self.rows, self.values, Path(path))

    def _compare(self, measure: str) -> dict[str, dict[str, Any]]:
        baseline, *others = self.plan["arms"]
        reference = self.values(baseline, measure)
        found = [paired_difference(reference, self.values(arm, measure)) for arm in others]
        corrected = holm([1.0 if one.p_value is None else one.p_value for one in found])
        return {
            arm: {
                **asdict(one),
                "holm_p_value": None if one.p_value is None else p_value,
                "verdict": _verdict(one, p_value, COMPARED[measure]),
                "seeds_needed": one.seeds_needed(len(others)),
            }
            for arm, one, p_value in zip(others, found, corrected, strict=True)
        }


def _verdict(found: PairedDifference, p_value: float, more_is_better: bool) -> str:
    if found.std == 0 and found.mean == 0:
        return "same"
    if found.p_value is None or p_value >= 1 - CONFIDENCE:
        return "cannot tell"
    return "better" if (found.mean > 0) == more_is_better else "worse"


def _std(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def format_comparison(comparison: Comparison) -> str:
    """Formats three tables: the arms, and their differences to the baseline in log-loss and in accuracy.

    Args:
        comparison: finished.

    Returns:
        Text of lines of at most 100 characters.
    """
    console = Console(file=io.StringIO(), width=_WIDTH, highlight=False, markup=False, color_system=None)
    plan, rows = comparison.plan, comparison.rows
    for line in _describe(plan):
        console.print(line, soft_wrap=True)
    console.print(_format_arms(rows))
    if len(plan["seeds"]) == 1:
        console.print("one seed: there is no interval, and nothing can be said about the differences: --seeds 5")
    for measure, title, factor, digits in (
        ("log_loss", "test log-loss (less is better)", 1, 3),
        ("accuracy", "test accuracy in points (more is better)", 100, 2),
    ):
        if len(plan["seeds"]) > 1:
            console.print(f"difference to {rows[0]['arm']}, paired by seed: {title}", soft_wrap=True)
            console.print(_format_differences(rows[1:], measure, factor, digits))
    for line in _notes(plan, rows):
        console.print(line, soft_wrap=True)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _describe(plan: dict[str, Any]) -> list[str]:
    """Names the kind, the model, the data and the configuration."""
    images, config = plan["data"]["images"], plan["config"]
    decay = config["weight_decay"]
    return [
        f"{plan['kind']} on {plan['model']}, {plan['data']['name']}: {_count_seeds(plan)}, "
        f"{images['train']:,} training images, {_count_epochs(plan)} in batches of {config['batch_size']}",
        f"{config['optimizer']}, rate {config['learning_rate']:g}, {config['schedule']}, "
        f"weight decay {decay:g}{' in every arm' if plan['kind'] == 'regularizers' else ''}",
        f"augmentation {config['augment'] or 'none'}, {config['precision']}, {plan['device']}",
    ]


def _count_seeds(plan: dict[str, Any]) -> str:
    """ "1 seed" or "5 seeds"."""
    count = len(plan["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}"


def _count_epochs(plan: dict[str, Any]) -> str:
    """ "1 epoch" or "15 epochs"."""
    count = plan["config"]["epochs"]
    return f"{count} epoch{'s' if count > 1 else ''}"


def _format_arms(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("\narm", overflow="fold")
    names = ["test\nlog-loss", "test\naccuracy %", "training\nlog-loss", "best vali-\ndation %", "\nseconds"]
    diverged = any(row["diverged"] for row in rows)
    for name in [*names, *(["\ndiverged"] if diverged else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["arm"],
            _spread(row, "log_loss", 1, 3),
            _spread(row, "accuracy", 100, 2),
            _spread(row, "training_log_loss", 1, 3),
            _spread(row, "validation_accuracy", 100, 2),
            f"{row['mean']['seconds']:.1f}",
            *([f"{row['diverged']} of {row['runs']}"] if diverged else []),
        )
    return table


def _spread(row: dict[str, Any], measure: str, factor: float, digits: int) -> str:
    mean, std = row["mean"][measure], row["std"][measure]
    spread = "" if std is None else f" ± {std * factor:.{digits}f}"
    return f"{mean * factor:.{digits}f}{spread}"


def _format_differences(rows: list[dict[str, Any]], measure: str, factor: float, digits: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for name in ("mean", "95 % interval", "p (Holm)"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for row in rows:
        found = row["difference"][measure]
        low, high = (f"{found[end] * factor:+.{digits}f}" for end in ("low", "high"))
        p_value = found["holm_p_value"]
        table.add_row(
            row["arm"],
            f"{found['mean'] * factor:+.{digits}f}",
            f"{low} to {high}",
            "-" if p_value is None else ("< 0.001" if p_value < 0.001 else f"{p_value:.3f}"),
            _format_verdict(found),
        )
    return table


def _format_verdict(found: dict[str, Any]) -> str:
    """Formats the verdict, with the number of seeds that it would take."""
    if found["verdict"] == "same":
        return "the same in every seed"
    if found["verdict"] != "cannot tell":
        return found["verdict"]
    needed = found["seeds_needed"]
    if needed is None:  # no mean to find, or no spread to judge it by
        return "cannot tell: the same difference in every seed" if found["mean"] else "cannot tell: no difference"
    many = f"more than {_MANY_SEEDS:,}" if needed > _MANY_SEEDS else f"about {needed}"
    return f"cannot tell: {many} seeds would"


def _notes(plan: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    test = plan["data"]["images"]["test"]
    notes = []
    if len(plan["seeds"]) > 1:
        notes.append("± is the standard deviation over the seeds; p is corrected for the number of arms.")
    if any(row["diverged"] for row in rows):
        notes.append("A run that diverged counts as chance: accuracy 1 / classes, log-loss ln(classes).")
    notes.append(f"The verdicts hold for these {test:,} test images: docs/compare.md.")
    return notes

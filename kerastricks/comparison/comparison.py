"""What a comparison found."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.comparison.holm import holm
from kerastricks.metrics.paired_differences import CONFIDENCE, PairedDifference, paired_difference

# Of each run; the first two are compared with the baseline, and whether more is better.
MEASURES = (
    "log_loss", "accuracy", "training_log_loss", "training_accuracy", "validation_accuracy", "seconds",
)  # fmt: skip
COMPARED = {"log_loss": False, "accuracy": True}


@dataclass(frozen=True)
class Comparison:
    """The runs of a comparison and what follows from them.

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
        """One measure of an arm, in the order of the seeds."""
        by_seed = {run["seed"]: run[measure] for run in self.runs if run["arm"] == arm}
        return [by_seed[seed] for seed in self.plan["seeds"]]

    def to_json(self) -> dict[str, Any]:
        """Everything, in plain values: the plan's fields, `rows` and `runs`."""
        return {**self.plan, "rows": self.rows, "runs": list(self.runs)}

    def to_text(self) -> str:
        """The tables, as `kerastricks compare` prints them."""
        from kerastricks.comparison.report import draw_table

        return draw_table(self)

    def plot(self, path: str | Path) -> None:
        """Draws every seed, mean and interval of every arm into a PNG file.

        Args:
            path: of the file.
        """
        from kerastricks.comparison.plot import draw_plot

        draw_plot(self, Path(path))

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

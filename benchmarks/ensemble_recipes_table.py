"""Tables of what benchmarks/ensemble_recipes.py has kept.

    python benchmarks/ensemble_recipes_table.py cifar10 clothing

One Markdown table a folder, all figures of the test images: mean and standard deviation over five seeds or groups.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ensemble_recipes import GROUP, POOL, SEEDS, groups

from kerastricks.ensemble.choosing import choose
from kerastricks.ensemble.combination_fitting import fit_combination
from kerastricks.metrics.calibration import disagreement, quality

Scores = list[dict[str, float]]
MEAN, BEST = "one network, mean of ten", "one network, the best of five on validation"


class Kept:
    """The predictions of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.labels = dict(np.load(folder / "labels.npz"))

    def outputs(self, name: str, key: str = "final", split: str = "test") -> np.ndarray:
        """(N, K) log-probabilities."""
        return np.load(self.folder / f"{name}.npz")[f"{key}/{split}"]

    def group(self, group: Sequence[int], split: str, prefix: str = "single") -> np.ndarray:
        """(M, N, K) of some trainings."""
        return np.stack([self.outputs(f"{prefix}-{seed}", split=split) for seed in group])

    def score(self, probabilities: np.ndarray) -> dict[str, float]:
        """On test."""
        return quality(probabilities, self.labels["test"])

    def each(self, prefix: str, count: int = SEEDS, key: str = "final") -> Scores:
        """Of trainings as they are."""
        return [self.score(np.exp(self.outputs(f"{prefix}-{seed}", key))) for seed in range(count)]

    def own_temperature(self) -> Scores:
        """Of single networks whose temperature was fitted on validation."""
        return [self.fitted([seed], "best", "after") for seed in range(POOL)]

    def fitted(self, group: Sequence[int], method: str, scaling: str, prefix: str = "single") -> dict[str, float]:
        """Of a combination fitted on validation."""
        found = fit_combination(method, self.group(group, "validation", prefix), self.labels["validation"], 0, scaling)
        return self.score(found.apply(self.group(group, "test", prefix)))

    def fitted_groups(self, method: str, scaling: str = "after", prefix: str = "single") -> Scores:
        """Of a combination, for each group of five."""
        return [self.fitted(group, method, scaling, prefix) for group in groups()]

    def chosen(self) -> tuple[Scores, list[str]]:
        """Of what `choose` takes, and its name, for each group of five."""
        scores, names = [], []
        for number, group in enumerate(groups()):
            rows, labels = self.group(group, "validation"), self.labels["validation"]
            choice = choose(rows, labels, [str(seed) for seed in group], seed=number)
            scores.append(self.score(choice.combination.apply(self.group(group, "test"))))
            names.append(choice.method)
        return scores, names

    def on_the_way(self, prefix: str, seeds: Sequence[int]) -> Scores:
        """Of the mean of the networks that a training has kept."""
        found = []
        for seed in seeds:
            arrays = np.load(self.folder / f"{prefix}-{seed}.npz")
            kept = [np.exp(arrays[key]) for key in arrays.files if key.endswith("/test") and key[0].isdigit()]
            found.append(self.score(np.mean(kept, axis=0)))
        return found


def recipes(kept: Kept) -> dict[str, tuple[str, int, Callable[[], Scores]]]:
    """For each recipe how many trainings it takes, how many networks run, and its scores."""

    def soups(key: str) -> Callable[[], Scores]:
        return lambda: kept.each("soups", key=key)

    def fusion(key: str) -> Callable[[], Scores]:
        return lambda: kept.each("fusions", key=key)

    def groups_by(method: str, scaling: str = "after", prefix: str = "single") -> Callable[[], Scores]:
        return lambda: kept.fitted_groups(method, scaling, prefix)

    return {
        MEAN: ("1", 1, lambda: kept.each("single", POOL)),
        "one network at its own temperature": ("1", 1, kept.own_temperature),
        BEST: ("5", 1, groups_by("best", "none")),
        "one network, five times as long": ("5", 1, lambda: kept.each("long")),
        "SWA": ("1", 1, lambda: kept.each("swa")),
        "EMA": ("1", 1, lambda: kept.each("ema")),
        "last 5 epochs, mean": ("1", 5, lambda: kept.on_the_way("single", range(SEEDS))),
        "best 5 epochs, mean": ("1", 5, lambda: kept.on_the_way("single", range(SEEDS, POOL))),
        "5 snapshots of one training, mean": ("1", 5, lambda: kept.on_the_way("snapshots", range(SEEDS))),
        "5 snapshots, each a training long, mean": ("5", 5, lambda: kept.on_the_way("snapshots5", range(SEEDS))),
        "five seeds, mean, no temperature": ("5", 5, groups_by("mean", "none")),
        **{
            f"five seeds, {method}": ("5", 5, groups_by(method))
            for method in ("mean", "geometric", "weighted", "greedy", "vote")
        },
        "five seeds, stack": ("5", 5, groups_by("stack", "none")),
        "five seeds, what is chosen": ("5", 5, lambda: kept.chosen()[0]),
        "five bags, mean": ("5", 5, groups_by("mean", "after", "bag")),
        **{f"five seeds, features fused, {kind}": ("5", 5, fusion(kind)) for kind in ("logistic", "linear", "mlp")},
        "five seeds, fused (logistic) and late": ("5", 5, fusion("logistic, late")),
        "uniform soup of five seeds": ("5", 1, soups("uniform")),
        "greedy soup of five seeds": ("5", 1, soups("greedy")),
        "distilled from five seeds' mean": ("5 + 1", 1, lambda: kept.each("distilled")),
        "five seeds without label smoothing, mean": (
            "5",
            5,
            lambda: [kept.fitted(range(GROUP), "mean", "none", "hard")],
        ),
        "distilled from that, five times as long": ("5 + 5", 1, lambda: kept.each("distilled5")),
    }


def print_table(folder: Path) -> None:
    """One case."""
    kept = Kept(folder)
    case = json.loads((folder / "case.json").read_text())
    measured = json.loads((folder / "costs.json").read_text())
    rows = {name: (trainings, networks, scores()) for name, (trainings, networks, scores) in recipes(kept).items()}
    base = {name: np.mean([score["log_loss"] for score in rows[name][2]]) for name in (MEAN, BEST)}
    sizes = f"{case['train']:,} training images, {len(kept.labels['test']):,} test images"
    print(f"\n{case['case']}: {sizes}, {case['epochs']} epochs\n")
    titles = ["recipe", "trainings", "accuracy, %", "log-loss", "to the mean", "to the best", "calibration error", "ms"]
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    for name, (trainings, networks, scores) in rows.items():
        loss = np.array([score["log_loss"] for score in scores])
        cells = [
            name,
            trainings,
            _spread(scores, "accuracy", 100, 1),
            _spread(scores, "log_loss", 1, 3),
            *(f"{loss.mean() / one - 1:+.0%}" for one in base.values()),
            _spread(scores, "calibration_error", 1, 3),
            f"{measured[str(networks)]['latency_ms']:.2f}",
        ]
        print(f"| {' | '.join(cells)} |")
    apart = [disagreement(kept.group(group, "test"))[np.triu_indices(GROUP, 1)].mean() for group in groups()]
    print(f"\nMembers disagree on {np.mean(apart):.1%} of the test images. Chosen: {', '.join(kept.chosen()[1])}.")
    for networks, cost in measured.items():
        size = f"{cost['parameters']:,} weights, {cost['megabytes']:.2f} MB"
        speed = f"{cost['latency_ms']:.2f} ms an image, {cost['images_per_second']:,.0f} images/s in batches of 64"
        print(f"{networks} x: {size}, {speed}.")


def _spread(scores: Sequence[dict[str, Any]], key: str, factor: float, digits: int) -> str:
    values = factor * np.array([score[key] for score in scores])
    return f"{values.mean():.{digits}f}" + (f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else "")


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        print_table(folder)


if __name__ == "__main__":
    main()

"""Greedy selection with and without bags, the least log-loss mean and the plain mean, by the number of members.

    python benchmarks/ensemble_selection.py [--seeds 8] [--members 2 3 5 8 12 20 50 100 200] [--validation 400]

Three sources of members, each a pool of which the first K are taken, weights fitted on validation images, log-loss on
test images: `synthetic`, logits of members that share some errors, of unequal quality; `digits, unequal`, logistic
regressions and small networks on random pixels of scikit-learn's digits; `digits, seeds`, one small network from many
seeds. The table is Markdown: mean and standard deviation over the seeds; `bags` is the paired difference of 20 bags of
half the members to the search without bags, with how many seeds lose by it.
"""

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from scipy import special
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from kerastricks.ensemble import convex_weights, greedy_selection

Split = tuple[np.ndarray, np.ndarray]  # (M, N, K) log-probabilities and (N,) labels
BAGS = {
    "no bags": (1, 1.0),
    "20 of 1/4": (20, 0.25),
    "20 of 1/2": (20, 0.5),
    "20 of 3/4": (20, 0.75),
    "100 of 1/2": (100, 0.5),
}


def synthetic(members: int, seed: int, classes: int = 10) -> tuple[Split, Split]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, 3_400)
    together = 2.5 * np.eye(classes)[labels] + generator.normal(0, 0.8, (3_400, classes))
    noises = np.exp(generator.normal(0.2, 0.6, members))[:, None, None]
    logits = together + noises * generator.normal(0, 1, (members, 3_400, classes))
    rows = special.log_softmax(logits, axis=-1)
    return _split(rows, labels)


def digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images from 0 to 1 and labels, in an order of the seed."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    return images[order] / 16, labels[order]


def unequal(members: int, seed: int) -> tuple[Split, Split]:
    images, labels = digits(seed)
    generator = np.random.default_rng(seed)
    said = []
    for number in range(members):
        pixels = generator.permutation(64)[: generator.integers(6, 40)]
        seen = generator.permutation(600)[: generator.integers(150, 600)]
        if number % 2:
            model = MLPClassifier((8,), max_iter=40, learning_rate_init=0.01, random_state=number)
        else:
            model = LogisticRegression(C=10 ** generator.uniform(-2, 1), max_iter=60)
        model.fit(images[seen][:, pixels], labels[seen])
        said.append(model.predict_log_proba(images[600:][:, pixels]))
    return _split(np.stack(said), labels[600:])


def seeds_of_one(members: int, seed: int) -> tuple[Split, Split]:
    images, labels = digits(seed)
    said = []
    for number in range(members):
        model = MLPClassifier((16,), max_iter=30, learning_rate_init=0.01, random_state=number)
        said.append(model.fit(images[:300], labels[:300]).predict_log_proba(images[600:]))
    return _split(np.stack(said), labels[600:])


def _split(rows: np.ndarray, labels: np.ndarray) -> tuple[Split, Split]:
    """400 validation images and the rest."""
    rows = np.maximum(rows, -80.0)
    return (rows[:, :400], labels[:400]), (rows[:, 400:], labels[400:])


SOURCES: dict[str, Callable[[int, int], tuple[Split, Split]]] = {
    "synthetic": synthetic,
    "digits, unequal": unequal,
    "digits, seeds": seeds_of_one,
}


def log_losses(validation: Split, test: Split, seed: int) -> dict[str, float]:
    """Of each way, on test."""
    rows, labels = validation
    weights = {"mean": np.full(len(rows), 1 / len(rows)), "weighted": convex_weights(rows, labels)}
    for name, (bags, fraction) in BAGS.items():
        weights[name] = greedy_selection(rows, labels, bags=bags, bag_fraction=fraction, seed=seed)
    of_label = np.exp(test[0][:, np.arange(len(test[1])), test[1]])
    return {name: float(-np.log(weight @ of_label).mean()) for name, weight in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--members", type=int, nargs="+", default=[2, 3, 5, 8, 12, 20, 50, 100, 200])
    parser.add_argument("--validation", type=int, default=400, help="images that decide, 400 at most")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    for source, make in SOURCES.items():
        found: dict[int, list[dict[str, float]]] = {count: [] for count in arguments.members}
        for seed in range(arguments.seeds):
            (rows, labels), (others, other_labels) = make(max(arguments.members), seed)
            rows, labels = rows[:, : arguments.validation], labels[: arguments.validation]
            for count in arguments.members:
                found[count].append(log_losses((rows[:count], labels), (others[:count], other_labels), seed))
        names = list(found[arguments.members[0]][0])
        print(f"\n{source}\n\n| members | {' | '.join(names)} | bags |\n|{'---|' * (len(names) + 2)}")
        for count, runs in found.items():
            cells = [np.array([run[name] for run in runs]) for name in names]
            bags = np.array([run["20 of 1/2"] - run["no bags"] for run in runs])
            shown = [f"{cell.mean():.3f} ± {cell.std(ddof=1):.3f}" for cell in cells]
            shown.append(f"{bags.mean():+.4f} ± {bags.std(ddof=1):.4f}, {(bags > 0).sum()} of {len(bags)}")
            print(f"| {count} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()

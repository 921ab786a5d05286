"""Planted label errors: how many of them the check of labels finds, and how many of its suspects they are.

    python benchmarks/label_errors.py --seeds 3
    python benchmarks/label_errors.py --share 0.1 --no-recipe --epochs 10

The digits (1,797 images, ten classes) as PNG files, a share of them in the folder of another class, chosen by the seed;
the seed is also that of the folds and the trainings, which are those of the recipe of the digits or, with --no-recipe,
have the defaults of a folder that nothing is known of. Precision: planted errors among the suspects. Recall: suspects
among the planted errors. Half: both, of the first half of the list.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from kerastricks.runs import find_wrong_labels


def write_digits(root: Path, share: float, seed: int) -> set[str]:
    """Writes CLASS/NNNN.png and returns the files that are in a wrong folder."""
    digits = load_digits()
    random = np.random.default_rng(seed)
    wrong = random.choice(len(digits.target), round(share * len(digits.target)), replace=False)
    labels = digits.target.copy()
    labels[wrong] = (labels[wrong] + random.integers(1, 10, len(wrong))) % 10
    names = [f"{label}/{index:04}.png" for index, label in enumerate(labels)]
    for name, pixels in zip(names, digits.images, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(pixels * 255 / 16).astype("uint8")).save(root / name)
    return {names[index] for index in wrong}


def measure(share: float, seed: int, folds: int, recipe: bool, fields: dict) -> dict:
    """One check: its figures."""
    with tempfile.TemporaryDirectory() as folder:
        planted = write_digits(Path(folder) / "digits", share, seed)
        began = time.perf_counter()
        job = {"folder": Path(folder) / "check", "folds": folds, "seed": seed, "say": lambda line: None}
        report = find_wrong_labels("digits" if recipe else None, **job, data=str(Path(folder) / "digits"), **fields)
        seconds = time.perf_counter() - began
    suspects = [one.name for one in report.suspects]
    half = suspects[: len(suspects) // 2]
    return {
        "seed": seed,
        "planted": len(planted),
        "suspects": len(suspects),
        "precision": len(planted & set(suspects)) / len(suspects) if suspects else 1.0,
        "recall": len(planted & set(suspects)) / len(planted) if planted else 1.0,
        "half precision": len(planted & set(half)) / len(half) if half else 1.0,
        "estimated share": report.estimated_share,
        "accuracy": report.accuracy,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.05, help="of the labels that are wrong")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--no-recipe", action="store_true")
    given = parser.parse_args()
    fields = {"epochs": given.epochs} if given.epochs else {}
    rows = []
    for seed in range(given.seeds):
        rows.append(measure(given.share, seed, given.folds, not given.no_recipe, fields))
        print(json.dumps(rows[-1]), flush=True)
    names = ("precision", "recall", "half precision", "estimated share", "accuracy", "seconds")
    print(f"\n| {given.share:.0%} of the digits' labels wrong, {given.folds} folds | mean | min - max |")
    print("|---|---|---|")
    for name in names:
        values = [row[name] for row in rows]
        print(f"| {name} | {statistics.mean(values):.3f} | {min(values):.3f} - {max(values):.3f} |")


if __name__ == "__main__":
    main()

"""The plan that a fine-tuning chooses, beside every other plan with the same minutes.

    python benchmarks/finetuning_choice.py --cifar cifar10.zip --clothing clothing.zip --fashion fashion-mnist/

The sets to measure with, and those to set constants of the choice with (`--sets tuning`; docs/finetuning.md says
which were looked at). Each seed draws other images, and another order. Per set and seed: the test accuracy of the
plan that is chosen within `--minutes`, of `linear`, and of `last` and `all` when they are asked for with the same
minutes (the features are in the cache then); `train` is what `kerastricks train` makes of the images at 32 pixels or
fewer in these minutes: the network of the plan `small`, with no time spent on anything else. Minutes are counted in
seconds of the process (`time.process_time`), so that other work on the machine does not change what fits. Test images
are read once per row.

Made-up sets: "shapes" are photographs of a hand-like shape with one to eight fingers at any place, size and lighting on
a noisy background, which ImageNet's features do not count; "bars" ask for a direction; "textures" are eight kinds of
surface in any colour, scale and direction, which they tell apart.
"""

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import kerastricks
from kerastricks.data.sources.source import Source, arrays
from kerastricks.finetuning import finetune, open_backbone
from kerastricks.finetuning.configs import MOST_EPOCHS
from kerastricks.finetuning.costs import StepClock, fit_length
from kerastricks.finetuning.settings import PHOTOGRAPHS_AUGMENT, SMALL_SIDE_PX, TRAINING_DEFAULTS, Settings
from kerastricks.training import Config

PLANS = ("auto", "linear", "last", "all", "train")
MEASURED = ("shapes", "clothing-110", "fashion-100", "cifar-300", "cifar-20", "textures", "clothing-15", "digits")
TUNING = ("bars", "cifar-50", "digits-30")
MOST_TEST = 1_000


def shapes(count: int, seed: int, kinds: int = 8, side: int = 100):
    """A palm with `label + 1` fingers."""
    generator = np.random.default_rng([seed, 1])
    labels = np.arange(count) % kinds
    images = np.empty((count, side, side, 3), "uint8")
    for place, label in enumerate(labels):
        rows, columns = _grid(generator, side, 0.12)
        turn, size = generator.uniform(-0.5, 0.5), generator.uniform(0.8, 1.15)
        mask = _blob(rows, columns, 0.13 * size, 0.13 * size)
        for finger in range(label + 1):
            angle = turn + (finger - label / 2) * 0.42 + generator.normal(0, 0.03)
            length = generator.uniform(0.15, 0.2) * size
            along = rows * np.cos(angle) + columns * np.sin(angle) + 0.1 * size + length / 2
            across = -rows * np.sin(angle) + columns * np.cos(angle)
            mask = np.maximum(mask, _bar(along, across, length / 2 + 0.05, 0.022 * size))
        images[place] = _photograph(generator, mask, side)
    return images, labels


def bars(count: int, seed: int, kinds: int = 8, side: int = 96):
    """A bar in one of eight directions."""
    generator = np.random.default_rng([seed, 2])
    labels = np.arange(count) % kinds
    images = np.empty((count, side, side, 3), "uint8")
    for place, label in enumerate(labels):
        rows, columns = _grid(generator, side, 0.15)
        angle = (label + generator.uniform(-0.35, 0.35)) * np.pi / kinds
        along, across = (
            rows * np.cos(angle) + columns * np.sin(angle),
            -rows * np.sin(angle) + columns * np.cos(angle),
        )
        images[place] = _photograph(generator, _bar(along, across, 0.28, generator.uniform(0.04, 0.07)), side)
    return images, labels


def textures(count: int, seed: int, kinds: int = 8, side: int = 100):
    """Stripes, waves, checks, dots, rings, bricks, grain and clouds."""
    generator = np.random.default_rng([seed, 3])
    labels = np.arange(count) % kinds
    images = np.empty((count, side, side, 3), "uint8")
    for place, label in enumerate(labels):
        rows, columns = _grid(generator, side, 0.5)
        angle, scale = generator.uniform(0, np.pi), generator.uniform(25, 60)
        u = scale * (rows * np.cos(angle) + columns * np.sin(angle))
        v = scale * (-rows * np.sin(angle) + columns * np.cos(angle))
        noise = generator.normal(0, 1, (side, side))
        smooth = _smooth(generator, side, int(generator.integers(6, 14)))
        pattern = (
            np.sin(u),
            np.sin(u + 2 * np.sin(v / 3)),
            np.sign(np.sin(u) * np.sin(v)),
            np.cos(u) * np.cos(v) > 0.35,
            np.sin(np.hypot(u, v)),
            np.maximum(np.cos(u) > 0.9, np.cos(v / 2 + np.pi * (np.floor(u / 2 / np.pi) % 2)) > 0.95),
            noise,
            3 * smooth,
        )[label]
        pattern = np.tanh(1.5 * np.asarray(pattern, float) + generator.normal(0, 0.3, (side, side)))
        colours = generator.uniform(20, 235, (2, 3))
        shade = 0.5 + 0.5 * pattern[..., None]
        image = colours[0] * (1 - shade) + colours[1] * shade
        images[place] = np.clip(image * (1 + 0.3 * _smooth(generator, side, 3)[..., None]), 0, 255)
    return images, labels


def _grid(generator, side: int, shift: float):
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    return rows - generator.uniform(-shift, shift), columns - generator.uniform(-shift, shift)


def _blob(rows, columns, height: float, width: float):
    return 1 / (1 + np.exp((np.hypot(rows / height, columns / width) - 1) * 15))


def _bar(along, across, length: float, width: float):
    return 1 / (1 + np.exp((np.abs(across) - width) * 150)) / (1 + np.exp((np.abs(along) - length) * 100))


def _smooth(generator, side: int, cells: int):
    """Noise of so many cells a side, interpolated."""
    coarse, at = generator.normal(0, 1, (cells + 1, cells + 1)), np.linspace(0, cells, side)
    rows = np.stack([np.interp(at, np.arange(cells + 1), column) for column in coarse.T], axis=1)
    return np.stack([np.interp(at, np.arange(cells + 1), row) for row in rows], axis=0)


def _photograph(generator, mask, side: int):
    """The shape on a background of another colour, with lighting, clutter and noise."""
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    light = 60 * (generator.uniform(-1, 1) * rows + generator.uniform(-1, 1) * columns)
    background = generator.uniform(60, 160, 3) + 22 * _smooth(generator, side, 8)[..., None]
    skin = np.array([200, 150, 120]) * generator.uniform(0.6, 1.2)
    image = background * (1 - mask[..., None]) + skin * mask[..., None] + light[..., None]
    return np.clip(image + generator.normal(0, 10, (side, side, 1)), 0, 255)


class Sets:
    """Data sets by name, each drawn anew by a seed."""

    def __init__(self, cifar: Path | None, clothing: Path | None, fashion: Path | None) -> None:
        self.files = {"cifar": cifar, "clothing": clothing, "fashion": fashion}
        self._loaded: dict = {}

    def __call__(self, name: str, seed: int, side: int):
        """The images as the backbone gets them, and as the small network does."""
        family, _, amount = name.partition("-")
        if family in ("shapes", "bars", "textures"):
            make = {"shapes": shapes, "bars": bars, "textures": textures}[family]
            per_class = {"shapes": 120, "bars": 70, "textures": 15}[family]
            images, labels = make(8 * (per_class + 15 + 60), seed)
            return self._drawn(family, images, labels, None, per_class, seed)
        if family == "clothing":
            return self._clothing(int(amount), seed, side)
        if family == "digits":
            per_class = int(amount or 110)
            from sklearn.datasets import load_digits

            digits = load_digits()
            images = np.round(digits.images[..., None] * 255 / 16).astype("uint8")
            return self._drawn(family, images, digits.target, None, per_class, seed)
        if family not in self._loaded:
            where = self.files[family]
            data = kerastricks.data.load(where, validation=0.01)
            self._loaded[family] = data.splits["train"].examples, data.splits["test"].examples, data.class_names
        train, test, _ = self._loaded[family]
        return self._drawn(family, train.images, train.labels, test, int(amount), seed)

    def _drawn(self, name, images, labels, test, per_class: int, seed: int):
        """So many training images of each class, a quarter as many for validation (10 to 30), the others as test."""
        generator = np.random.default_rng(seed)
        held = min(max(per_class // 4, 10), 30)
        parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
        for label in np.unique(labels):
            order = generator.permutation(np.flatnonzero(labels == label))
            parts["validation"].append(order[:held])
            parts["train"].append(order[held : held + per_class])
            parts["test"].append(order[held + per_class :])
        rows = {split: np.concatenate(part) for split, part in parts.items()}
        splits = {split: arrays(images[rows[split]], labels[rows[split]]) for split in ("train", "validation")}
        pool = (images[rows["test"]], labels[rows["test"]]) if test is None else (test.images, test.labels)
        chosen = generator.permutation(len(pool[1]))[:MOST_TEST]
        splits["test"] = arrays(pool[0][chosen], pool[1][chosen])
        photographs = images.shape[-1] == 3
        classes = tuple(str(label) for label in np.unique(labels))
        large = kerastricks.data.load(
            Source(name, classes, splits, photographs=photographs), augment="auto", batch_size=32, seed=seed
        )
        if images.shape[1] <= SMALL_SIDE_PX:
            return large, None
        shrunk = {split: arrays(_shrink(part.images), part.labels) for split, part in splits.items()}
        source = Source(name, classes, shrunk, photographs=photographs)
        return large, kerastricks.data.load(source, augment="auto", batch_size=128, seed=seed)

    def _clothing(self, per_class: int, seed: int, side: int):
        """Training images cut to so many of each class; its own validation (so many too) and test images."""
        found = []
        for size, augment, batch in ((side, PHOTOGRAPHS_AUGMENT, 32), (SMALL_SIDE_PX, "auto", 128)):
            if size not in self._loaded:
                self._loaded[size] = kerastricks.data.load(
                    self.files["clothing"], image_size=size, interpolation="bicubic", augment=augment, batch_size=batch
                )
            data, generator = self._loaded[size].reseeded(seed), np.random.default_rng(seed)
            for split, most in (("train", per_class), ("validation", min(max(per_class // 4, 10), 30))):
                labels = data.labels(split)
                rows = [generator.permutation(np.flatnonzero(labels == label))[:most] for label in np.unique(labels)]
                data = data.taken(np.sort(np.concatenate(rows)), split)
            found.append(data)
        return tuple(found)


def _shrink(images: np.ndarray) -> np.ndarray:
    """To the small network's side, antialiased."""
    import tensorflow as tf

    resized = tf.image.resize(images, (SMALL_SIDE_PX, SMALL_SIDE_PX), antialias=True)
    return np.clip(np.round(resized.numpy()), 0, 255).astype("uint8")


def test_accuracy(model, data) -> float:
    found = [np.asarray(model.predict_on_batch(images.numpy())).argmax(axis=1) for images, _ in data.test]
    return float(np.mean(np.concatenate(found) == data.labels("test")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", type=Path, help="train/CLASS/*, test/CLASS/*")
    parser.add_argument("--clothing", type=Path, help="train/, validation/, test/")
    parser.add_argument("--fashion", type=Path, help="a folder of IDX files")
    parser.add_argument("--sets", default="measured", help='"measured", "tuning", or names with commas between')
    parser.add_argument("--plans", default=",".join(PLANS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--json", type=Path, help="where every figure is added, a line for each row")
    parser.add_argument("--table", type=Path, nargs="*", help="only print the table of such files")
    arguments = parser.parse_args()
    if arguments.table:
        print_table([json.loads(line) for path in arguments.table for line in path.read_text().splitlines()])
        return
    names = {"measured": MEASURED, "tuning": TUNING}.get(arguments.sets) or arguments.sets.split(",")
    sets = Sets(arguments.cifar, arguments.clothing, arguments.fashion)
    backbone = open_backbone(arguments.backbone, arguments.image_size)
    rows = []
    # All sets of a seed before the next seed: what is stopped early has whole columns.
    for seed in map(int, arguments.seeds.split(",")):
        for name in names:
            data, small = sets(name, seed, backbone.image_size)
            # The features that the choice has made are in the cache for the others: they are not worse off.
            with tempfile.TemporaryDirectory() as cache:
                os.environ["KERASTRICKS_CACHE"] = cache
                for plan in arguments.plans.split(","):
                    rows.append(row(name, seed, plan, data, small, backbone, arguments.minutes))
                    print(json.dumps(rows[-1]), flush=True)
                    if arguments.json:
                        with open(arguments.json, "a", encoding="utf-8") as file:
                            file.write(json.dumps(rows[-1]) + "\n")
    print_table(rows)


def row(name: str, seed: int, plan: str, data, small, backbone, minutes: float) -> dict:
    """One plan on one set."""
    keras.backend.clear_session()
    began = time.process_time()
    config = Config(**{**TRAINING_DEFAULTS, "seed": seed, "augment": data.augmentation.text})
    if plan == "train":
        images = small or dataclasses.replace(data, batch_size=128).taken(np.arange(len(data.labels("train"))))
        return {"set": name, "seed": seed, "plan": plan, **plain_training(images, seed, 60 * minutes)}
    settings = Settings(strategy=plan, minutes=None if plan == "linear" else minutes)
    tuned = finetune(data, backbone, config, settings, small_data=small, say=lambda line: None, clock=time.process_time)
    seconds = time.process_time() - began
    return {
        "set": name,
        "seed": seed,
        "plan": plan,
        "test": test_accuracy(tuned.model, tuned.data),
        "kept": tuned.report.kept,
        "validation": tuned.report.validation_accuracy,
        "table": tuned.report.choice.table,
        "tried": {f"{one.name}-{one.rung}": round(one.accuracy, 4) for one in tuned.report.tried},
        "steps": {f"{one.name}-{one.rung}": one.length.steps for one in tuned.report.tried if one.length},
        "verdicts": tuned.report.verdicts,
        "seconds": round(seconds, 1),
    }


def plain_training(data, seed: int, seconds: float) -> dict:
    """`kerastricks train` with the epochs that fit, by a first training of two whose time is not counted."""
    cost = _fit_plain(data, seed, 2)[2].cost
    length = fit_length(seconds, cost, len(data.labels("train")), data.batch_size, MOST_EPOCHS)
    began = time.process_time()
    model, history, clock = _fit_plain(data, seed, length.epochs)
    return {
        "test": test_accuracy(model, data),
        "kept": "train",
        "validation": float(history.history["val_accuracy"][-1]),
        "steps": {"train": clock.steps},
        "seconds": round(time.process_time() - began, 1),
    }


def _fit_plain(data, seed: int, epochs: int):
    keras.utils.set_random_seed(seed)
    model = kerastricks.models.create(
        "plain_cnn", data.image_shape, len(data.class_names), mean=data.mean, std=data.std
    )
    kerastricks.initializers.start_from_data(model, data.sample())
    clock, config = StepClock(time.process_time), Config(epochs=epochs, seed=seed)
    return model, kerastricks.training.fit(model, data, config, callbacks=[clock], progress_line=False), clock


def print_table(rows: list[dict]) -> None:
    """Mean and deviation over seeds; what was kept; and how far the choice is behind the best and behind `small`."""
    plans = [plan for plan in PLANS if any(row["plan"] == plan for row in rows)]
    print("\n| data set | table | kept | " + " | ".join(plans) + " |\n|---|---|---" + "|---" * len(plans) + "|")
    for name in dict.fromkeys(row["set"] for row in rows):
        cell = [row for row in rows if row["set"] == name]
        cells = [_spread([row["test"] for row in cell if row["plan"] == plan]) for plan in plans]
        auto = [row for row in cell if row["plan"] == "auto"]
        kept, table = (", ".join(dict.fromkeys(row[what] for row in auto)) for what in ("kept", "table"))
        print(f"| {name} | {table} | {kept} | " + " | ".join(cells) + " |")


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    return f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()

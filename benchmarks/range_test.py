"""The range test beside the rules of fastai and torch-lr-finder, and beside a grid of seven rates.

    python benchmarks/range_test.py cifar10.zip clothing.zip --out range_test.jsonl

Nine cases: digits, CIFAR-10 and the clothing data set (photographs at 32 pixels), each with a perceptron, a plain
network and ResNet-20, on small subsets and short budgets, with three seeds of weights, order and draws each, scored on
up to two thousand images that are not trained on. For each seed there is one range test; kerastricks reads all of its
sweeps, the others its first one, smoothed and trimmed as they do. Then the model is trained from the same weights with
each rate of the grid and with the rate kerastricks suggests, by the default schedule (a fifth of warm-up, then linear
decay). Rates that the others suggest take the accuracy of the nearest rate of the grid, which is at most a factor of
1.8 away inside of it.

Every result is a line of the file given by --out: an interrupted run goes on where it was.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kerastricks
from kerastricks.range_test import LRRangeTest, RangeTestResult, exponential_average, steepest, valley
from kerastricks.range_test.for_trainings import first_batches, training_model
from kerastricks.range_test.kept_state import KeptState, model_variables
from kerastricks.schedules import LinearDecay
from kerastricks.training import Config
from kerastricks.training.resolved_config import resolve

OPTIMIZERS = {
    "sgd": ("sgd(momentum=0.9, nesterov=True)", np.geomspace(3e-3, 3.0, 7)),
    "adamw": ("adamw", np.geomspace(1e-4, 0.1, 7)),
}
WARMUP = 0.2
POINT = 0.01
MOST_TESTED = 2000


@dataclass(frozen=True)
class Case:
    """Data, model and budget; `seconds` is about what a training takes on two cores, for the ETA alone."""

    data: str
    model: str
    images: int
    epochs: int
    batch_size: int
    seconds: float
    sweep_seconds: float

    @property
    def name(self) -> str:
        return f"{self.data} {self.model.partition('(')[0]}"


CASES = (
    Case("digits", "mlp(depth=2, width=128)", 1000, 15, 64, 0.6, 1.0),
    Case("digits", "plain_cnn(widths=(16, 32))", 1000, 15, 64, 1.8, 3.0),
    Case("digits", "resnet_20", 1000, 12, 64, 4.0, 12.0),
    Case("cifar10", "mlp(depth=2, width=256)", 4000, 10, 128, 4.0, 6.0),
    Case("cifar10", "plain_cnn(widths=(24, 48))", 2000, 10, 64, 8.0, 13.0),
    Case("cifar10", "resnet_20", 800, 15, 32, 17.0, 25.0),
    Case("clothing", "mlp(depth=2, width=256)", 2000, 12, 64, 3.0, 4.0),
    Case("clothing", "plain_cnn(widths=(24, 48))", 2000, 10, 64, 8.0, 13.0),
    Case("clothing", "resnet_20", 800, 15, 32, 17.0, 25.0),
)


def load(case: Case, sources: dict[str, Path]) -> tuple[Any, Any]:
    """The data, and a subset to train on that is the same for all seeds."""
    settings: dict[str, Any] = {"batch_size": case.batch_size, "augment": "flip", "image_size": 32}
    if case.data == "digits":
        settings = {"batch_size": case.batch_size, "augment": "", "test": 0.4, "validation": 0.02}
    data = kerastricks.data.load(sources.get(case.data, case.data), **settings)
    return data, data.limited(min(case.images, len(data.labels("train"))))


def held_out(data: Any, subset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Test images, and where there are few, those of training that are not in the subset: at most two thousand."""
    drawn = np.random.default_rng(data.seed).permutation(len(data.labels("train")))
    rest = np.sort(drawn[len(subset.labels("train")) :])
    parts = [*data.splits["test"].evaluation()]
    if len(data.labels("test")) < MOST_TESTED and len(rest):
        parts += [*data.taken(rest).splits["train"].evaluation()]
    images, labels = (np.concatenate([part.numpy() for part in column]) for column in zip(*parts, strict=True))
    return images[:MOST_TESTED], labels[:MOST_TESTED]


class Trainer:
    """One compiled model for all trainings of a case: its weights are set, its training step is not made again."""

    def __init__(self, case: Case, whole: Any, data: Any, optimizer: str) -> None:
        self.case, self.data = case, data
        self.config = resolve(
            Config(model=case.model, optimizer=optimizer, epochs=case.epochs, batch_size=case.batch_size), data
        )
        self.model = self._fresh(0)
        self._context = training_model(self.model, data, self.config)
        self.compiled = self._context.__enter__()
        self.compiled.optimizer.build(self.compiled.trainable_variables)
        self.test_images, self.test_labels = held_out(whole, data)

    def close(self) -> None:
        self._context.__exit__(None, None, None)

    def _fresh(self, seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        data = self.data
        model = kerastricks.models.create(
            self.case.model, data.image_shape, len(data.class_names), mean=data.mean, std=data.std
        )
        kerastricks.initializers.start_from_data(model, data.sample())
        return model

    def begin(self, seed: int) -> None:
        """The weights of a seed, which everything until the next call begins with."""
        self.seeded = self.data.reseeded(seed)
        self.model.set_weights(self._fresh(seed).get_weights())
        self.start = KeptState(model_variables(self.compiled))

    def range_test(self, seed: int) -> RangeTestResult:
        test = LRRangeTest(self.compiled, seed=seed)
        return test.run(first_batches(self.seeded, self.compiled, test.steps))

    def train(self, rate: float) -> tuple[float, float]:
        """Test accuracy after a training, and its loss; a training that is not finite scores as chance."""
        self.start.restore()
        steps, epochs = self.data.steps_per_epoch, self.case.epochs
        schedule = LinearDecay(rate, steps * epochs, round(WARMUP * steps * epochs))
        history = self.compiled.fit(
            self.seeded.train_from(0),
            steps_per_epoch=steps,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[_Schedule([float(schedule(step)) for step in range(steps * epochs)])],
        )
        loss = float(history.history["loss"][-1])
        outputs = self.compiled.predict(self.test_images, batch_size=250, verbose=0)
        self.start.restore()
        if not np.all(np.isfinite(outputs)):
            return 1 / len(self.data.class_names), loss
        return float(np.mean(outputs.argmax(axis=1) == self.test_labels)), loss


class _Schedule(keras.callbacks.Callback):
    def __init__(self, rates: list[float]) -> None:
        super().__init__()
        self.rates = iter(rates)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.optimizer.learning_rate = next(self.rates)


def others(result: RangeTestResult) -> dict[str, float | None]:
    """What the other libraries say of the first sweep, smoothed and trimmed as they do."""
    losses = result.losses[0][np.isfinite(result.losses[0])]
    rates, total = result.rates[: len(losses)], len(result.rates)
    fastai = slice(total // 10, -5)
    finder = slice(10, -5)
    if len(losses[finder]) < 3 or len(losses[fastai]) < 3:
        return {"fastai valley": None, "fastai steep": None, "torch-lr-finder": None}
    smoothed = exponential_average(losses, 0.98)
    averaged = exponential_average(losses, 0.95, unbiased=False)
    return {
        "fastai valley": valley(rates[fastai], smoothed[fastai]),
        "fastai steep": steepest(rates[fastai], smoothed[fastai]),
        "torch-lr-finder": steepest(rates[finder], averaged[finder], "central"),
    }


class Log:
    """Lines of JSON, by key; what is there is not measured again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self.rows[row["key"]] = row

    def add(self, key: str, **values: Any) -> dict[str, Any]:
        self.rows[key] = {"key": key, **values}
        with open(self.path, "a") as file:
            file.write(json.dumps(self.rows[key]) + "\n")
        return self.rows[key]


class Clock:
    """The time that is left: what the cases are thought to take, corrected by what they took."""

    def __init__(self, planned: float) -> None:
        self.left, self.done, self.took = planned, 0.0, 0.0

    def note(self, thought: float, took: float | None) -> str:
        self.left -= thought
        if took is not None:
            self.done, self.took = self.done + thought, self.took + took
        factor = self.took / self.done if self.done else 1.0
        minutes, seconds = divmod(round(max(self.left, 0) * factor), 60)
        return f"ETA {minutes}:{seconds:02}"


def run(case: Case, data: Any, name: str, seeds: int, log: Log, clock: Clock) -> None:
    optimizer, grid = OPTIMIZERS[name]
    trainer = None
    for seed in range(seeds):
        prefix = f"{name} | {case.name} | {seed}"
        begun = False

        def ready(seed: int = seed) -> Trainer:
            nonlocal trainer, begun
            if trainer is None:
                trainer = Trainer(case, *data(), optimizer)
            if not begun:
                trainer.begin(seed)
                begun = True
            return trainer

        key = f"{prefix} | range test"
        took = None
        if key not in log.rows:
            here = ready()
            started = time.perf_counter()
            result = here.range_test(seed)
            took = time.perf_counter() - started
            log.add(key, **{**result.to_dict(), "others": others(result), "seconds": took})
        found = log.rows[key]
        suggested = found["suggestion"]
        print(f"{key}: {_rate(suggested)} {found['reason']} {clock.note(case.sweep_seconds, took)}", flush=True)
        for rate in [*grid.tolist(), *([suggested] if suggested is not None else [])]:
            key, took = f"{prefix} | {rate:.6g}", None
            if key not in log.rows:
                here = ready()
                started = time.perf_counter()
                accuracy, loss = here.train(rate)
                took = time.perf_counter() - started
                log.add(key, rate=rate, accuracy=accuracy, loss=loss if math.isfinite(loss) else None, seconds=took)
            row = log.rows[key]
            print(f"{key}: accuracy {row['accuracy']:.3f} {clock.note(case.seconds, took)}", flush=True)
    if trainer is not None:
        trainer.close()


def table(name: str, cases: list[Case], seeds: int, log: Log) -> None:
    """A row for each case and rule: rates, their spread over seeds, accuracy and how far it is from the grid's best."""
    _, grid = OPTIMIZERS[name]
    rules = ("kerastricks", "fastai valley", "fastai steep", "torch-lr-finder")
    hits = {rule: [0, 0] for rule in rules}
    print(
        f"\n{name}: accuracy in per cent, means of {seeds} seeds; the gap is paired by seed, with its standard error\n"
    )
    print("| case | rule | rates | spread over seeds | accuracy | best of grid | gap |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        prefixes = [f"{name} | {case.name} | {seed}" for seed in range(seeds)]
        scores = {
            rate: [log.rows[f"{prefix} | {rate:.6g}"]["accuracy"] for prefix in prefixes] for rate in grid.tolist()
        }
        best = max(scores, key=lambda rate: statistics.mean(scores[rate]))
        for rule in rules:
            rates, accuracies = [], []
            for number, prefix in enumerate(prefixes):
                found = log.rows[f"{prefix} | range test"]
                rate = found["suggestion"] if rule == "kerastricks" else found["others"][rule]
                rates.append(rate)
                if rate is None:
                    accuracies.append(None)
                elif rule == "kerastricks":
                    accuracies.append(log.rows[f"{prefix} | {rate:.6g}"]["accuracy"])
                else:
                    nearest = min(grid.tolist(), key=lambda known: abs(math.log(known / rate)))
                    accuracies.append(scores[nearest][number])
            known = [rate for rate in rates if rate is not None]
            shown = ", ".join(_rate(rate) for rate in rates)
            if len(known) < len(rates):
                print(f"| {case.name} | {rule} | {shown} | - | - | {_best(scores, best)} | no answer |")
                continue
            spread = max(known) / min(known)
            gaps = [reached - top for reached, top in zip(accuracies, scores[best], strict=True)]
            gap = statistics.mean(gaps)
            error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
            hits[rule][0] += spread <= 2
            hits[rule][1] += gap >= -POINT
            print(
                f"| {case.name} | {rule} | {shown} | {spread:.2f} | {100 * statistics.mean(accuracies):.1f} | "
                f"{_best(scores, best)} | {100 * gap:+.1f} +- {100 * error:.1f} |"
            )
    print(f"\nof {len(cases)} cases:")
    for rule, (steady, good) in hits.items():
        print(f"  {rule}: spread at most 2 in {steady}, within one point of the best of the grid in {good}")
    tests = [row["seconds"] for key, row in log.rows.items() if key.startswith(name) and key.endswith("range test")]
    trainings = [row["seconds"] for key, row in log.rows.items() if key.startswith(name) and "accuracy" in row]
    print(f"seconds: {sum(tests):.0f} in {len(tests)} range tests, {sum(trainings):.0f} in {len(trainings)} trainings")


def _best(scores: dict[float, list[float]], best: float) -> str:
    return f"{100 * statistics.mean(scores[best]):.1f} at {_rate(best)}"


def _rate(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:.2g}"


def _chosen(names: str | None) -> Iterator[Case]:
    for case in CASES:
        if names is None or any(part.strip() in case.name for part in names.split(",")):
            yield case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cifar", type=Path, help="train/CLASS/*, test/CLASS/*")
    parser.add_argument("clothing", type=Path, help="the same")
    parser.add_argument("--out", type=Path, default=Path("range_test.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", help='parts of names, with commas: "digits, cifar10 mlp"')
    parser.add_argument("--optimizer", choices=sorted(OPTIMIZERS), default="sgd")
    arguments = parser.parse_args()
    cases, log = list(_chosen(arguments.cases)), Log(arguments.out)
    sources = {"cifar10": arguments.cifar, "clothing": arguments.clothing}
    rates = len(OPTIMIZERS[arguments.optimizer][1]) + 1
    clock = Clock(sum(arguments.seeds * (case.sweep_seconds + rates * case.seconds) for case in cases))
    for case in cases:
        run(case, lambda case=case: load(case, sources), arguments.optimizer, arguments.seeds, log, clock)
        keras.utils.clear_session()
    table(arguments.optimizer, cases, arguments.seeds, log)


if __name__ == "__main__":
    main()

"""Every recipe for an ensemble beside the best and the mean single model, at one and at five trainings' cost.

    python benchmarks/ensemble_recipes.py cifar10.zip --out cifar10
    python benchmarks/ensemble_recipes_table.py cifar10 clothing

Small subsets and short budgets. A pool of ten members that differ by seed alone, on one split, gives five groups of
five: members i, i + 2, ..., so that any two groups share some, and the spread over groups says less than five pools
would. Everything else has five seeds of its own. Fitted combinations are fitted on the validation images, and all
figures are of the test images.

Predictions and weights are kept in the folder --out: an interrupted run goes on where it was. The second script makes
tables of them.
"""

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kerastricks
from kerastricks.ensemble import Member, greedy_soup, uniform_soup
from kerastricks.ensemble.build import EnsembleSettings, build_ensemble
from kerastricks.ensemble.cost import costs
from kerastricks.progress import silent
from kerastricks.runs.ensemble_data import TrainingImages, member_predictions
from kerastricks.training import Config, Distillation
from kerastricks.training.resolved_config import resolve

SEEDS, GROUP, POOL = 5, 5, 10
CASES = {
    "cifar10": {"images": 2000, "validation": 1000, "test": 4000, "epochs": 10, "size": 32, "batch": 64},
    "clothing": {"images": 2000, "validation": 1000, "test": 4000, "epochs": 12, "size": 32, "batch": 64},
    "digits": {"images": 100, "validation": 200, "test": 4000, "epochs": 40, "size": 8, "batch": 32},
}
MODEL = "plain_cnn(widths=(16, 32, 64))"


@dataclass(frozen=True)
class Training:
    """One training of the plan: its name, what it changes, and how long it is in units of one member's."""

    name: str
    fields: dict[str, Any]
    length: float = 1.0


def plan() -> list[Training]:
    """All trainings without a teacher, the most important first."""
    found = [Training(f"single-{seed}", {"seed": seed, "keep": _kept(seed)}) for seed in range(POOL)]
    found += [
        training
        for seed in range(SEEDS)
        for training in (
            Training(f"snapshots-{seed}", _snapshots(seed)),
            Training(f"swa-{seed}", {"seed": seed, "average": "swa"}),
            Training(f"ema-{seed}", {"seed": seed, "average": "ema(decay=0.99)"}),
            Training(f"long-{seed}", {"seed": seed}, 5.0),
            Training(f"snapshots5-{seed}", _snapshots(seed), 5.0),
        )
    ]
    found += [Training(f"bag-{seed}", {"seed": seed, "bagging": True}) for seed in range(POOL)]
    found += [Training(f"hard-{seed}", {"seed": seed, "label_smoothing": 0.0}) for seed in range(GROUP)]
    return found


def _kept(seed: int) -> str:
    return "last(5)" if seed < SEEDS else "top(5)"


def _snapshots(seed: int) -> dict[str, Any]:
    return {"seed": seed, "schedule": "cosine_restarts(cycles=5)", "keep": "snapshots(5)"}


def groups() -> list[list[int]]:
    """Five times five of the pool."""
    return [[(2 * start + step) % POOL for step in range(GROUP)] for start in range(SEEDS)]


def load(source: str, name: str) -> Any:
    """The subset of a case; every training has the same splits."""
    case = CASES[name]
    size = None if name == "digits" else case["size"]
    data = kerastricks.data.load(source, augment="auto", seed=0, image_size=size, batch_size=case["batch"])
    for split in ("validation", "test"):
        data = data.limited(min(case[split], data.splits[split].size), split)
    return data.limited(min(case["images"], data.splits["train"].size))


def train(source: str, out: Path) -> None:
    """Trains what is not there yet."""
    name = Path(source).stem
    data = load(source, name)
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "labels.npz", validation=data.labels("validation"), test=data.labels("test"))
    record = {"case": name, **CASES[name], "classes": len(data.class_names), "train": data.splits["train"].size}
    (out / "case.json").write_text(json.dumps(record))
    todo = [training for training in plan() if not (out / f"{training.name}.npz").exists()]
    started, units, done = time.time(), sum(training.length for training in todo), 0.0
    for training in todo:
        train_one(training, data, name, out)
        done += training.length
        left = (time.time() - started) / done * (units - done)
        print(f"{training.name}: {left / 60:.0f} min to go", flush=True)
    for number, group in enumerate(groups()):
        for kind in ("distilled", "distilled5"):
            if not (out / f"{kind}-{number}.npz").exists():
                distil(kind, number, group, data, name, out)
                print(f"{kind}-{number}", flush=True)
        for kind, make_some in (("soups", soups), ("fusions", fusions)):
            if not (out / f"{kind}-{number}.npz").exists():
                make_some(number, group, data, out)
                print(f"{kind}-{number}", flush=True)
    if not (out / "costs.json").exists():
        own = members(groups()[0], out)
        measured = costs({"1": own[0], "5": kerastricks.ensemble.combine(own)})
        (out / "costs.json").write_text(json.dumps({name: asdict(cost) for name, cost in measured.items()}))


def train_one(training: Training, data: Any, name: str, out: Path, **arguments: Any) -> None:
    """Trains, and keeps log-probabilities of validation and test and the weights."""
    case = CASES[name]
    epochs = round(case["epochs"] * training.length)
    config = Config(model=MODEL, epochs=epochs, batch_size=case["batch"], split_seed=0, **training.fields)
    own = data.reseeded(config.seed)
    own = own.bagged() if config.bagging else own
    config = resolve(config, own)
    keras.utils.set_random_seed(config.seed)
    model = kerastricks.models.create(MODEL, data.image_shape, len(data.class_names), mean=data.mean, std=data.std)
    folder = out / f"{training.name}.run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    start = time.perf_counter()
    kerastricks.training.fit(model, own, config, run_folder=folder, progress_line=False, **arguments)
    seconds = time.perf_counter() - start
    kept = sorted((folder / "members").glob("*.keras"))
    models = {"final": model, **{path.stem: keras.models.load_model(path, compile=False) for path in kept}}
    arrays = {f"{key}/{split}": log_probabilities(one, data, split) for key, one in models.items() for split in SPLITS}
    model.save(out / f"{training.name}.keras")
    np.savez(out / f".{training.name}.npz", seconds=seconds, **arrays)
    (out / f".{training.name}.npz").rename(out / f"{training.name}.npz")
    shutil.rmtree(folder)
    keras.backend.clear_session()


SPLITS = ("validation", "test")


def log_probabilities(model: keras.Model, data: Any, split: str) -> np.ndarray:
    """(N, K) float32."""
    found = [model.predict_on_batch(images.numpy()) for images, _ in data.splits[split].evaluation()]
    return np.log(np.maximum(np.concatenate(found), 1e-30)).astype("float32")


def members(group: Sequence[int], out: Path, prefix: str = "single") -> list[keras.Model]:
    """The models of a group."""
    return [keras.models.load_model(out / f"{prefix}-{seed}.keras", compile=False) for seed in group]


def distil(kind: str, number: int, group: Sequence[int], data: Any, name: str, out: Path) -> None:
    """One network of a member's size that learns from the mean of five.

    `distilled` has a member's budget and a group of the pool as its teacher. `distilled5` has five times that, and a
    teacher whose members were trained without label smoothing, which hides what they know of the wrong classes.
    """
    long = kind == "distilled5"
    teacher = kerastricks.ensemble.combine(members(range(GROUP), out, "hard") if long else members(group, out))
    fields = {"seed": 100 + number, "label_smoothing": 0.0}
    training = Training(f"{kind}-{number}", fields, 5.0 if long else 1.0)
    train_one(training, data, name, out, distillation=Distillation(teacher))


def soups(number: int, group: Sequence[int], data: Any, out: Path) -> None:
    """Averages of the weights of a group: of trainings from different random weights, as a group is."""
    labels = data.labels("validation")
    batches = TrainingImages(data)
    own = members(group, out)

    def accuracy(model: keras.Model) -> float:
        return float(np.mean(log_probabilities(model, data, "validation").argmax(axis=1) == labels))

    found = {"uniform": uniform_soup(own, batches), "greedy": greedy_soup(own, accuracy, batches).model}
    keep(found, data, out / f"soups-{number}.npz")


def fusions(number: int, group: Sequence[int], data: Any, out: Path) -> None:
    """Classifiers on the features of a group, as `kerastricks ensemble --method fuse` makes them."""
    names = tuple(data.class_names)
    own = [Member(model, f"single-{seed}", names) for seed, model in zip(group, members(group, out), strict=True)]
    outputs = np.stack([np.load(out / f"single-{seed}.npz")["final/validation"] for seed in group])
    given = member_predictions(own, data, [one.name for one in own], outputs, data.labels("validation"), silent)
    ways = {kind: EnsembleSettings("fuse", kind) for kind in ("logistic", "linear", "mlp")}
    ways["logistic, late"] = EnsembleSettings("fuse", "logistic", late=True)
    keep(
        {name: build_ensemble(given, settings).model for name, settings in ways.items()},
        data,
        out / f"fusions-{number}.npz",
    )


def keep(models: Mapping[str, keras.Model], data: Any, path: Path) -> None:
    """Writes what models say of validation and test."""
    found = {(key, split): log_probabilities(model, data, split) for key, model in models.items() for split in SPLITS}
    np.savez(path, **{f"{key}/{split}": outputs for (key, split), outputs in found.items()})
    keras.backend.clear_session()


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    train(given.data, given.out)


if __name__ == "__main__":
    main()

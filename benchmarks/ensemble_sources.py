"""Two more sources of members: fine-tunings of one pretrained network, and the best of a search.

    python benchmarks/ensemble_sources.py finetunings clothing.zip --pretrained cifar10.zip --rate 0.3 --out ft
    python benchmarks/ensemble_sources.py search digits --out search

`finetunings`: five networks are trained on the second data set; of each there are five fine-tunings, with the same head
at the start and a share of the rate (--rate), that differ by the order of images and by augmentation. A group has one
pretrained network. `search`: five searches of ten trials, each of which draws its rate, width and weight decay; the
five with the highest log-likelihood on validation are combined.

Both have the subsets, splits and budgets of ensemble_recipes.py, and go on where they were. The table is of the test
images, in Markdown: mean and standard deviation over five groups.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ensemble_recipes import CASES, GROUP, SEEDS, SPLITS, load, log_probabilities

import kerastricks
from kerastricks.ensemble import fit_combination, greedy_soup, uniform_soup
from kerastricks.metrics import quality
from kerastricks.runs.ensemble_data import TrainingImages
from kerastricks.training import Config
from kerastricks.training.resolved_config import resolve

TRIALS = 10
Said = dict[str, np.ndarray]  # of each split


def finetunings(source: str, pretrained: str, rate: float, group: int) -> dict[str, Said]:
    """What five fine-tunings of one network say, and their soups."""
    first, data = load(pretrained, Path(pretrained).stem), load(source, Path(source).stem)
    base = trained(model_of(first), first, Path(pretrained).stem, group)
    found, models = {}, []
    for member in range(GROUP):
        model = model_of(data, seed=group)  # one head at the start
        for layer, of in zip(model.layers[:-2], base.layers[:-2], strict=True):
            if layer.weights and not isinstance(layer, keras.layers.Normalization):
                layer.set_weights(of.get_weights())
        models.append(trained(model, data, Path(source).stem, 10 * group + member, rate))
        found[f"member {member}"] = said(models[-1], data)
    batches, labels = TrainingImages(data), data.labels("validation")

    def accuracy(model: keras.Model) -> float:
        return float(np.mean(log_probabilities(model, data, "validation").argmax(axis=1) == labels))

    found["uniform soup"] = said(uniform_soup(models, batches), data)
    found["greedy soup"] = said(greedy_soup(models, accuracy, batches).model, data)
    return found


def search(source: str, _: str, __: float, group: int) -> dict[str, Said]:
    """What the five best of ten trials say, best first."""
    name = Path(source).stem
    data = load(source, name)
    random = np.random.default_rng(group)
    trials = []
    for trial in range(TRIALS):
        width = int(random.choice([8, 16, 32]))
        rate, decay = float(10 ** random.uniform(-1, 0.5)), float(10 ** random.uniform(-5, -2))
        model = model_of(data, spec=f"plain_cnn(widths=({width}, {2 * width}, {4 * width}))", seed=100 * group + trial)
        trials.append(said(trained(model, data, name, 100 * group + trial, rate, weight_decay=decay), data))
    labels = data.labels("validation")
    ranked = sorted(trials, key=lambda one: float(-one["validation"][np.arange(len(labels)), labels].mean()))
    return {f"member {place}": one for place, one in enumerate(ranked[:GROUP])}


def model_of(data: Any, spec: str = "plain_cnn(widths=(16, 32, 64))", seed: int = 0) -> keras.Model:
    """With the statistics of its data."""
    keras.utils.set_random_seed(seed)
    return kerastricks.models.create(spec, data.image_shape, len(data.class_names), mean=data.mean, std=data.std)


def trained(model: keras.Model, data: Any, name: str, seed: int, rate: float = 1.0, **fields: Any) -> keras.Model:
    """With a case's budget, at a share of the rate that is its default."""
    case = CASES[name]
    own = data.reseeded(seed)
    settings = {"epochs": case["epochs"], "batch_size": case["batch"], "split_seed": 0, "seed": seed, **fields}
    default = resolve(Config(**settings), own)
    config = resolve(Config(**settings, learning_rate=default.learning_rate * rate), own)
    kerastricks.training.fit(model, own, config, progress_line=False)
    return model


def said(model: keras.Model, data: Any) -> Said:
    """Log-probabilities of both splits."""
    return {split: log_probabilities(model, data, split) for split in SPLITS}


def groups(
    of: Callable[..., dict[str, Said]], source: str, pretrained: str, rate: float, out: Path
) -> list[dict[str, Said]]:
    """Of five seeds, made or read."""
    found = []
    for group in range(SEEDS):
        path = out / f"{of.__name__}-{Path(source).stem}-{rate:g}-{group}.npz"
        if not path.exists():
            made = of(source, pretrained, rate, group)
            arrays = {f"{key}/{split}": one[split] for key, one in made.items() for split in SPLITS}
            np.savez(path.with_name(f".{path.name}"), **arrays)
            path.with_name(f".{path.name}").rename(path)
            keras.backend.clear_session()
            print(f"{path}", flush=True)
        with np.load(path) as file:
            keys = dict.fromkeys(key.rpartition("/")[0] for key in file)
            found.append({key: {split: file[f"{key}/{split}"] for split in SPLITS} for key in keys})
    return found


def rows(group: dict[str, Said], labels: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Scores on test of the members, of the best on validation, of their mean, and of what else there is."""
    members = [one for key, one in group.items() if key.startswith("member")]
    validation, test = (np.stack([one[split] for one in members]) for split in SPLITS)
    scores = [quality(np.exp(one), labels["test"]) for one in test]
    losses = [quality(np.exp(one), labels["validation"])["log_loss"] for one in validation]
    found = {
        "one of the five, mean": {key: float(np.mean([one[key] for one in scores])) for key in scores[0]},
        "the best on validation": scores[int(np.argmin(losses))],
    }
    for title, scaling in (("five, mean, no temperature", "none"), ("five, mean", "both")):
        combination = fit_combination("mean", validation, labels["validation"], scaling=scaling)
        found[title] = quality(combination.apply(test), labels["test"])
    others = {key: one for key, one in group.items() if not key.startswith("member")}
    return found | {key: quality(np.exp(one["test"]), labels["test"]) for key, one in others.items()}


def show(found: Sequence[dict[str, Said]], labels: dict[str, np.ndarray]) -> None:
    """Mean and standard deviation over the groups."""
    scores = [rows(group, labels) for group in found]
    first = np.array([one["one of the five, mean"]["log_loss"] for one in scores])
    print("| | accuracy, % | log-loss | against one | calibration error |\n|---|---|---|---|---|")
    for title in scores[0]:
        accuracy, loss, error = (
            np.array([one[title][key] for one in scores]) for key in ("accuracy", "log_loss", "calibration_error")
        )
        share = f"{loss.mean() / first.mean() - 1:+.0%}"
        print(f"| {title} | {_spread(100 * accuracy, 1)} | {_spread(loss, 3)} | {share} | {_spread(error, 3)} |")


def _spread(values: np.ndarray, digits: int) -> str:
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("finetunings", "search"))
    parser.add_argument("data")
    parser.add_argument("--pretrained", default="")
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    kind = {"finetunings": finetunings, "search": search}[given.kind]
    found = groups(kind, given.data, given.pretrained, given.rate, given.out)
    data = load(given.data, Path(given.data).stem)
    show(found, {split: data.labels(split) for split in SPLITS})
    print(json.dumps({**CASES[Path(given.data).stem], "groups": len(found)}))


if __name__ == "__main__":
    main()

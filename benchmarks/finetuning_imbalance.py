"""Plans of a fine-tuning on imbalanced classes: one part, two parts, and a remedy.

    python benchmarks/finetuning_imbalance.py --cifar cifar10.zip

The backbone is a `plain_cnn` trained on four classes of CIFAR-10. It is fine-tuned on the other six, whose training
images fall evenly on a logarithmic scale from `--most` to a `--ratio`-th of that; each seed draws other images and
another order of the classes. Validation has 20 images of each class, test 200. Printed per seed and, at the end, as
medians: balanced accuracy on test, and mean recall of the three large and of the three rare classes. `two_stage` with
`rare_only` is as published; "after part 1" and "after part 2" are balanced accuracies on validation, before the plan is
compared with the linear probe, to which it falls back where that is better.
"""

import argparse
import statistics
import zipfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import kerastricks
from kerastricks.data.sources.source import Source, arrays
from kerastricks.finetuning import finetune, open_backbone
from kerastricks.finetuning.settings import TRAINING_DEFAULTS, Settings
from kerastricks.training import Config

BEFORE, AFTER = (1, 3, 4, 8), (0, 2, 5, 6, 7, 9)  # classes of the backbone, and of its fine-tuning
ROWS = {
    "last": ({"strategy": "last"}, ""),
    "all": ({"strategy": "all"}, ""),
    "two_stage, rare_only": ({"strategy": "two_stage", "rare_only": True}, ""),
    "two_stage": ({"strategy": "two_stage"}, ""),
    "decoupled": ({"strategy": "decoupled"}, ""),
    "last, balanced_softmax": ({"strategy": "last"}, "balanced_softmax"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="a zip of CIFAR-10, with train/ and test/ by class")
    parser.add_argument("--ratio", type=float, default=50)
    parser.add_argument("--most", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    images, labels = read(options.cifar)
    backbone = open_backbone(pretrained(images, labels))
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ROWS}
    for seed in range(options.seeds):
        data, test, order = long_tail(images, labels, seed, options.ratio, options.most)
        for name, (settings, imbalance) in ROWS.items():
            fields = {**TRAINING_DEFAULTS, "epochs": options.epochs, "seed": seed, "imbalance": imbalance}
            tuned = finetune(data, backbone, Config(**fields), Settings(**settings), say=lambda line: None)
            probabilities = np.asarray(tuned.model.predict(test[0], verbose=0))
            recall = [np.mean(probabilities[test[1] == label].argmax(axis=1) == label) for label in order]
            after = [stage.validation_balanced_accuracy or np.nan for stage in tuned.report.stages]
            scores = np.mean(recall), np.mean(recall[:3]), np.mean(recall[3:]), *after[1:]
            found[name].append(tuple(float(score) for score in scores))
            print(seed, name, tuned.report.kept, *(f"{score:.3f}" for score in scores), flush=True)
    print("| plan | balanced accuracy | lowest to highest | large classes | rare classes |\n|---|---:|---|---:|---:|")
    for name, rows in found.items():
        balanced, large, rare = ([row[place] for row in rows] for place in range(3))
        middle = [f"{statistics.median(scores):.3f}" for scores in (balanced, large, rare)]
        print(f"| {name} | {middle[0]} | {min(balanced):.3f} to {max(balanced):.3f} | {middle[1]} | {middle[2]} |")


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images of a zip, and their classes in alphabetical order."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith((".jpg", ".png"))]
        images = np.stack([np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names])
    return images, np.unique([name.split("/")[-2] for name in names], return_inverse=True)[1]


def pretrained(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """A small network that has seen the classes `BEFORE`."""
    rows = np.concatenate([np.flatnonzero(labels == label)[:3000] for label in BEFORE])
    data = kerastricks.data.load(
        (images[rows], np.searchsorted(BEFORE, labels[rows])), augment="flip | pad_crop(4)", batch_size=128
    )
    keras.utils.set_random_seed(0)
    model = kerastricks.models.create(
        "plain_cnn(widths=(32, 64, 128))", data.image_shape, len(BEFORE), mean=data.mean, std=data.std
    )
    kerastricks.training.fit(model, data, Config(epochs=8))
    return model


def long_tail(images: np.ndarray, labels: np.ndarray, seed: int, ratio: float, most: int):
    """The data of a fine-tuning, balanced test images with labels, and the classes from large to rare."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(AFTER))
    chosen: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for place, label in enumerate(order):
        rows = generator.permutation(np.flatnonzero(labels == AFTER[label]))
        count = round(most * ratio ** (-place / (len(AFTER) - 1)))
        for split, part in zip(chosen, (rows[:count], rows[3000:3020], rows[4000:4200]), strict=True):
            chosen[split].append(part)
    pairs = {}
    for split, parts in chosen.items():
        rows = np.concatenate(parts)
        pairs[split] = images[rows], np.searchsorted(AFTER, labels[rows])
    source = Source("long tail", tuple(map(str, AFTER)), {split: arrays(*pair) for split, pair in pairs.items()})
    data = kerastricks.data.load(source, augment="flip | pad_crop(4)", batch_size=32, seed=seed)
    return data, pairs["test"], order


if __name__ == "__main__":
    main()

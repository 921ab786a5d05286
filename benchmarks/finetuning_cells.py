"""The four cells of "how much data, how similar": the plan that is chosen beside the others.

    python benchmarks/finetuning_cells.py --cifar cifar10.zip

A network is trained on five classes of CIFAR-10 (JPEG copy). Similar data: the other five classes, 10 and 1,000
images each. Different data: the digits of scikit-learn, 10 and 110 of each. For each seed other images are drawn. Every
plan is carried out on the same images and scored on the same test images; the table marks the chosen one.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import kerastricks
from kerastricks.data.source import Source, arrays
from kerastricks.finetuning import finetune, open_backbone
from kerastricks.finetuning.settings import TRAINING_DEFAULTS, Settings
from kerastricks.training import Config

PLANS = ("linear", "last", "all", "earlier", "scratch")
PRETRAINED_ON = ("airplane", "cat", "deer", "horse", "truck")
OTHERS = ("automobile", "bird", "dog", "frog", "ship")
VALIDATION_PER_CLASS = 20


def backbone_of(cifar: Path, epochs: int):
    """plain_cnn on five classes; what it ends in is printed, for whoever repeats it."""
    import keras

    data = kerastricks.data.load(cifar, classes=PRETRAINED_ON, augment="flip | pad_crop(4)", batch_size=256)
    keras.utils.set_random_seed(0)
    model = kerastricks.models.create("plain_cnn", data.image_shape, len(PRETRAINED_ON), mean=data.mean, std=data.std)
    kerastricks.initializers.start_from_data(model, data.sample())
    history = kerastricks.training.fit(model, data, Config(epochs=epochs, batch_size=256, learning_rate=0.4))
    print(f"backbone: plain_cnn, {epochs} epochs, validation accuracy {history.history['val_accuracy'][-1]:.3f}")
    return open_backbone(model)


def pools(cifar: Path) -> dict[str, tuple]:
    """(images, labels, class names, test images, test labels) of each domain."""
    data = kerastricks.data.load(cifar, classes=OTHERS, validation=0.01)
    train, test = data.splits["train"].examples, data.splits["test"].examples
    found = {"similar": (train.images, train.labels, data.class_names, test.images, test.labels)}
    digits = kerastricks.data.load("digits", validation=0.01, test=0.25)
    train, test = digits.splits["train"].examples, digits.splits["test"].examples
    found["different"] = (train.images, train.labels, digits.class_names, test.images, test.labels)
    return found


def draw(pool: tuple, per_class: int, seed: int):
    """So many images of each class to train on, 20 for validation, and all of the test images."""
    images, labels, names, test_images, test_labels = pool
    generator = np.random.default_rng(seed)
    train, validation = [], []
    for label in range(len(names)):
        order = generator.permutation(np.flatnonzero(labels == label))
        validation.append(order[:VALIDATION_PER_CLASS])
        train.append(order[VALIDATION_PER_CLASS : VALIDATION_PER_CLASS + per_class])
    train, validation = np.concatenate(train), np.concatenate(validation)
    splits = {
        "train": arrays(images[train], labels[train]),
        "validation": arrays(images[validation], labels[validation]),
        "test": arrays(test_images, test_labels),
    }
    source = Source("cell", names, splits, photographs=images.shape[-1] == 3)
    return kerastricks.data.load(source, augment="auto", batch_size=32, seed=seed)


def score(model, data) -> float:
    """Accuracy on test."""
    found = [np.asarray(model.predict_on_batch(images.numpy())).argmax(axis=1) for images, _ in data.test]
    return float(np.mean(np.concatenate(found) == data.labels("test")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", type=Path, required=True, help="train/CLASS/*, test/CLASS/*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pretraining-epochs", type=int, default=8)
    parser.add_argument("--json", type=Path, help="where every figure is written")
    arguments = parser.parse_args()
    began = time.monotonic()
    backbone, domains = backbone_of(arguments.cifar, arguments.pretraining_epochs), pools(arguments.cifar)
    rows = []
    for domain, amount in (("similar", 10), ("similar", 1_000), ("different", 10), ("different", 110)):
        for seed in range(arguments.seeds):
            data = draw(domains[domain], amount, seed)
            config = Config(**{**TRAINING_DEFAULTS, "seed": seed})
            chosen = kept = None
            for plan in ("auto", *PLANS):
                if plan == chosen and plan != "earlier":
                    continue  # the same training to the bit: it is the one of "auto"
                tuned = finetune(data, backbone, config, Settings(plan=plan), say=lambda line: None)
                accuracy = score(tuned.model, data)
                if plan == "auto":
                    chosen, kept, gain = tuned.report.choice.plan, tuned.report.kept, tuned.report.measurement.gain
                rows.append((domain, amount, seed, plan, accuracy, chosen, kept, gain))
                if plan == "auto" and chosen != "earlier":
                    rows.append((domain, amount, seed, chosen, accuracy, chosen, kept, gain))
                print(f"{domain} {amount} seed {seed} {plan}: {accuracy:.3f} {chosen} {kept} {gain:.2f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows))
    print_table(rows)
    print(f"{(time.monotonic() - began) / 60:.0f} minutes")


def print_table(rows: list[tuple]) -> None:
    """Mean and range over seeds; the plan that was chosen most is marked."""
    print(f"\n{'domain':10}{'per class':>10}  " + "".join(f"{plan:>22}" for plan in ("auto", *PLANS)))
    for domain, amount in dict.fromkeys((row[0], row[1]) for row in rows):
        cell = [row for row in rows if row[:2] == (domain, amount)]
        chosen = [row[5] for row in cell]
        line = f"{domain:10}{amount:>10}  "
        for plan in ("auto", *PLANS):
            found = [row[4] for row in cell if row[3] == plan]
            text = f"{np.mean(found):.3f} ({min(found):.3f}-{max(found):.3f})" if found else ""
            line += f"{('*' if plan == max(set(chosen), key=chosen.count) else '') + text:>22}"
        print(line)
    print("* chosen by the measurement")


if __name__ == "__main__":
    main()

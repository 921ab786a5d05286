"""Fine-tuning on photographs beside what people do instead.

    python benchmarks/finetuning_photographs.py --data clothing.zip --image-size 160 --epochs 4 --epochs-at-once 2

Rows: the linear probe; the plan the measurement chooses; everything at once at one rate, from a random head; the same
network from random weights. The last two see the same images and augmentation, and end in their best epoch on
validation, as the plan does; give them the epochs that fit in the time of the stages. Test is read once per row and
seed, at the end. Minutes hold features and probes, computed anew for each row.
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
from kerastricks.callbacks import BestWeights
from kerastricks.finetuning import finetune, open_backbone
from kerastricks.finetuning.configs import finetuning_config
from kerastricks.finetuning.network import build_network
from kerastricks.finetuning.settings import PHOTOGRAPHS_AUGMENT, TRAINING_DEFAULTS, Settings
from kerastricks.training import Config, fit

AT_ONCE_RATE = 3e-4
ROWS = ("linear probe", "the chosen plan, in stages", "everything at once, one rate", "from random weights")


def test_accuracy(model, data) -> float:
    found = [np.asarray(model.predict_on_batch(images.numpy())).argmax(axis=1) for images, _ in data.test]
    return float(np.mean(np.concatenate(found) == data.labels("test")))


def at_once(data, backbone, config: Config, epochs: int, pretrained: bool) -> tuple[keras.Model, float]:
    """All weights at one rate."""
    keras.utils.set_random_seed(config.seed)
    network = build_network(backbone, data.image_shape, len(data.class_names), dropout=0.2, pretrained=pretrained)
    fields = {"learning_rate": AT_ONCE_RATE}
    if not pretrained:
        plain = Config()
        names = ("optimizer", "learning_rate", "schedule", "weight_decay", "clip_norm")
        fields = {name: getattr(plain, name) for name in names}
        fields["learning_rate"] *= config.batch_size / plain.batch_size
    config = finetuning_config(config, data, backbone)
    config = dataclasses.replace(config, epochs=epochs, early_stopping_epochs=None, **fields)
    best = BestWeights()
    fit(network, data, config, callbacks=[best])
    return network, best.best_accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder or zip with train/ validation/ test/")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=None, help="of the stages together")
    parser.add_argument("--epochs-at-once", type=int, default=2, help="of the last two rows")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where every figure is written, row by row")
    arguments = parser.parse_args()
    backbone = open_backbone(arguments.backbone, arguments.image_size)
    started = time.monotonic()
    data = kerastricks.data.load(
        arguments.data,
        image_size=backbone.image_size,
        interpolation="bicubic",
        augment=PHOTOGRAPHS_AUGMENT,
        batch_size=TRAINING_DEFAULTS["batch_size"],
    )
    print(f"loaded in {time.monotonic() - started:.0f} s: {data.describe()['images']}", flush=True)
    rows = []

    def note(name: str, seed: int, model: keras.Model, validation: float, seconds: float, what: str) -> None:
        rows.append((name, seed, validation, test_accuracy(model, data), seconds / 60, what))
        print(rows[-1], flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(rows))

    # All seeds of a row before the next row: what is stopped early has whole rows.
    for row in ROWS:
        for seed in range(arguments.seeds):
            data = data.reseeded(seed)
            config = Config(**{**TRAINING_DEFAULTS, "epochs": arguments.epochs, "seed": seed})
            started = time.monotonic()
            with tempfile.TemporaryDirectory() as cache:
                os.environ["KERASTRICKS_CACHE"] = cache
                if row in ROWS[:2]:
                    tuned = finetune(data, backbone, config, Settings(strategy="linear" if row == ROWS[0] else "auto"))
                    model, accuracy = tuned.model, tuned.report.validation_accuracy
                    what = f"plan {tuned.report.choice.strategy}, kept {tuned.report.kept}"
                else:
                    epochs = arguments.epochs_at_once
                    model, accuracy = at_once(data, backbone, config, epochs, row == ROWS[2])
                    what = f"{epochs} epochs"
                note(row, seed, model, accuracy, time.monotonic() - started, what)
    print("\n| | validation | test | test by seed | minutes |\n|---|---|---|---|---|")
    for name in dict.fromkeys(row[0] for row in rows):
        found = [row for row in rows if row[0] == name]
        validation, test, minutes = ([row[place] for row in found] for place in (2, 3, 4))
        by_seed = ", ".join(f"{value:.3f}" for value in test)
        spread = f" ± {statistics.stdev(test):.3f}" if len(test) > 1 else ""
        print(
            f"| {name} | {statistics.mean(validation):.3f} | {statistics.mean(test):.3f}{spread} | {by_seed} "
            f"| {statistics.median(minutes):.1f} |"
        )


if __name__ == "__main__":
    main()

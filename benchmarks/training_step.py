"""A training step as `kerastricks.training.fit` runs it, beside Keras's defaults: same model, data, optimizer.

python benchmarks/training_step.py [MODEL ...]
"""

import contextlib
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from table import measure, show

import kerastricks
from kerastricks.keras_graph import precision, split_head
from kerastricks.training import Config, device
from kerastricks.training.fused_batch_norm import fused_batch_norm
from kerastricks.training.optimizer import build_optimizer
from kerastricks.training.training_model import TrainingModel

BATCH, STEPS = 128, 20


def trainer(name, policy, jit, fused):
    """A function that trains `STEPS` batches and returns images per second."""
    keras.utils.set_random_seed(0)
    model = kerastricks.models.create(name)
    classifier, _ = split_head(model)
    training_model = TrainingModel(classifier)
    training_model.compile(
        build_optimizer(Config(), 10_000, classifier),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit,
    )
    generator = np.random.default_rng(0)
    images = tf.constant(generator.integers(0, 256, (BATCH, 32, 32, 3)).astype("uint8"))
    labels = tf.constant(generator.integers(0, 10, BATCH))
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat()

    def train(steps=STEPS):
        with precision(model, policy), fused_batch_norm(model) if fused else contextlib.nullcontext():
            started = time.perf_counter()
            training_model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
        return steps * BATCH / (time.perf_counter() - started)

    train(3)  # traces and compiles
    return train


def main(names):
    policy, jit = device.choose_precision(), device.choose_jit()
    print(f"{device.describe()}; auto: {policy}, jit {jit}; {os.cpu_count()} cores")
    for name in names:
        rows = {
            "Keras's defaults (float32, jit auto)": trainer(name, "float32", "auto", False),
            f"Keras, {policy}, jit {jit}": trainer(name, policy, jit, False),
            "kerastricks, auto": trainer(name, policy, jit, True),
        }
        show(f"{name}, batch {BATCH}, training", "images/s", measure(rows, 5), next(iter(rows)))


if __name__ == "__main__":
    main(sys.argv[1:] or ["resnet_20", "plain_cnn"])

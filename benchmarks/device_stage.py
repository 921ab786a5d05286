"""Training steps per second with the augmentation in tf.data, in the step, and in the step on images that are there.

KERAS_BACKEND=jax python benchmarks/device_stage.py [SPEC] [MODEL]
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from table import measure, show

import kerastricks
from kerastricks.keras_graph import split_head
from kerastricks.losses import LabelSmoothingCrossentropy
from kerastricks.training import Config, device
from kerastricks.training.device import DevicePixels
from kerastricks.training.optimizer import build_optimizer
from kerastricks.training.training_model import TrainingModel

IMAGES, BATCH, STEPS = 33_000, 256, 20  # 100 MB
SPEC = "flip | pad_crop(4) | fancy_pca(0.1)"


def load(spec, stages):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (IMAGES + 200, 32, 32, 3)).astype("uint8")
    labels = np.arange(len(images)) % 10
    share = 100 / len(images)
    return kerastricks.data.load(
        (images, labels), augment=spec, batch_size=BATCH, stages=stages, validation=share, test=share
    )


def trainer(name, data, store=False):
    """A function that trains `STEPS` batches and returns images per second."""
    keras.utils.set_random_seed(0)
    classifier, _ = split_head(kerastricks.models.create(name, data.image_shape, 10))
    pixels = DevicePixels(data.device_store(), data.image_shape) if store else None
    model = TrainingModel(classifier, data.device_stage, pixels=pixels)
    model.compile(
        build_optimizer(Config(), 10_000, classifier), LabelSmoothingCrossentropy(), jit_compile=device.choose_jit()
    )
    model.build((None, *data.image_shape))
    batches = data.train_from(0, indices=store)
    if data.device_stage is not None and data.device_stage.mixes:
        batches = batches.map(lambda images, labels: ((images, labels), labels))

    def train(steps=STEPS):
        started = time.perf_counter()
        model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
        return steps * BATCH / (time.perf_counter() - started)

    train(3)  # traces and compiles
    return train


def main(spec=SPEC, name="mlp(depth=1, width=64)"):
    host, on_device = load(spec, "host"), load(spec, "device")
    print(f"{device.describe()}, jit {device.choose_jit()}; {os.cpu_count()} cores; {name}; {spec!r}")
    rows = {
        "no augmentation": trainer(name, load("", "host")),
        "host": trainer(name, host),
        "device, batches": trainer(name, on_device),
        "device, images there": trainer(name, on_device, store=True),
    }
    show(f"{STEPS} steps of {BATCH}", "images/s", measure(rows, 5), "host")


if __name__ == "__main__":
    main(*sys.argv[1:])

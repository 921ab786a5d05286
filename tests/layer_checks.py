"""The contract of everything public that goes into a Keras model: one table, one set of checks.

A row says how to make the thing and what to feed it. `tests/test_contracts.py` runs every check over every row and
fails when a public thing has no row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

import kerastricks


@dataclass(frozen=True)
class LayerRow:
    """A layer: how it is made, what it is fed (batch, height, width, channels), what comes out."""

    make: Callable[..., keras.layers.Layer]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    value_range: tuple[float, float] = (0.0, 1.0)
    config: dict[str, Any] = field(default_factory=dict)


LAYERS = {
    "FancyPCA": LayerRow(kerastricks.layers.FancyPCA, (4, 6, 5, 3), (4, 6, 5, 3), (0, 255), {"stddev": 0.2, "seed": 1}),
    "PadShortcut": LayerRow(
        kerastricks.layers.PadShortcut, (4, 6, 5, 3), (4, 3, 3, 8), (-1, 1), {"filters": 8, "strides": 2}
    ),
}

# name: (how it is made, the shape of a kernel)
INITIALIZERS = {
    "PatchWhitening": (
        lambda: kerastricks.initializers.PatchWhitening.fit(
            np.random.default_rng(0).normal(size=(8, 6, 6, 3)).astype("float32"), 2
        ),
        (2, 2, 3, 24),
    ),
}

LOSSES = {
    "LabelSmoothingCrossentropy": lambda: kerastricks.losses.LabelSmoothingCrossentropy(0.1, from_logits=True),
}

SCHEDULES = {
    "WarmupLinear": lambda: kerastricks.schedules.WarmupLinear(0.1, total_steps=100, warmup_steps=20, final_rate=0.01),
}

# spec and input shape; every name of the zoo has a row
MODELS = {
    "plain_cnn": ("plain_cnn(widths=(8, 8), dropout=0.1)", (16, 12, 3)),
    "resnet_20": ("resnet_20(width=4, dropout=0.1)", (16, 16, 1)),
    "resnet_32": ("resnet_32(width=4)", (16, 16, 3)),
    "resnet_56": ("resnet_56(width=4)", (8, 8, 3)),
}

# spec of every op, and whether it needs colour
OPS = {
    "flip": "flip",
    "pad_crop": "pad_crop(2, mode='reflect')",
    "random_resized_crop": "random_resized_crop(0.5)",
    "fancy_pca": "fancy_pca(0.1)",
}


def batch(row: LayerRow, size: int | None = None) -> np.ndarray:
    """Random input of a row."""
    low, high = row.value_range
    shape = row.input_shape if size is None else (size, *row.input_shape[1:])
    return np.random.default_rng(0).uniform(low, high, shape).astype("float32")


def one_training_step(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Trains one step and returns the loss."""
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    return float(model.train_on_batch(images, labels))

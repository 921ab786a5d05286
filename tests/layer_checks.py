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
    """A layer: how it is made, what it is fed (batch, height, width, channels), what comes out.

    `dynamic` is False where a layer is fitted to one height and width.
    """

    make: Callable[..., keras.layers.Layer]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    value_range: tuple[float, float] = (0.0, 1.0)
    config: dict[str, Any] = field(default_factory=dict)
    dynamic: bool = True


def adapted(layer_class: Callable[..., Any]) -> Callable[..., keras.layers.Layer]:
    """Makes a layer and adapts it to images like those of `batch`."""

    def make(**config: Any) -> keras.layers.Layer:
        layer = layer_class(**config)
        layer.adapt(np.random.default_rng(1).uniform(0, 255, (120, 6, 5, 3)))
        return layer

    return make


LAYERS = {
    "Augment": LayerRow(
        kerastricks.augment.Augment,
        (4, 6, 5, 3),
        (4, 6, 5, 3),
        (0, 255),
        {"spec": "flip | pad_crop(2) | brightness(0.2)", "seed": 1},
        dynamic=False,
    ),
    "Centering": LayerRow(
        adapted(kerastricks.layers.Centering), (4, 6, 5, 3), (4, 6, 5, 3), (0, 255), {"divide_by_std": True}
    ),
    "RangeScaling": LayerRow(
        adapted(kerastricks.layers.RangeScaling),
        (4, 6, 5, 3),
        (4, 6, 5, 3),
        (0, 255),
        {"per": "pixel", "output_range": (0, 2)},
        dynamic=False,
    ),
    "PCAWhitening": LayerRow(
        adapted(kerastricks.layers.PCAWhitening), (4, 6, 5, 3), (4, 7), (0, 255), {"components": 7}, dynamic=False
    ),
    "ZCAWhitening": LayerRow(
        adapted(kerastricks.layers.ZCAWhitening), (4, 6, 5, 3), (4, 6, 5, 3), (0, 255), {"epsilon": 1e-3}, dynamic=False
    ),
    "ChannelBias": LayerRow(kerastricks.layers.ChannelBias, (4, 6, 5, 3), (4, 6, 5, 3), (-1, 1)),
    "CombineMembers": LayerRow(
        kerastricks.layers.CombineMembers, (4, 3, 5), (4, 5), (-3, 0), {"method": "vote"}, dynamic=False
    ),
    "Maxout": LayerRow(kerastricks.layers.Maxout, (4, 6, 5, 6), (4, 6, 5, 2), (-1, 1), {"units": 2}),
    "RReLU": LayerRow(kerastricks.layers.RReLU, (4, 6, 5, 3), (4, 6, 5, 3), (-1, 1), {"mode": "library", "seed": 1}),
    "SpatialPyramidPooling": LayerRow(
        kerastricks.layers.SpatialPyramidPooling, (4, 6, 5, 3), (4, 15), (-1, 1), {"levels": [2, 1]}
    ),
    "StochasticDepth": LayerRow(
        kerastricks.layers.StochasticDepth, (4, 6, 5, 3), (4, 6, 5, 3), (-1, 1), {"drop_rate": 0.3, "seed": 1}
    ),
    "WeightNormalization": LayerRow(
        lambda **more: kerastricks.layers.WeightNormalization(keras.layers.Conv2D(7, 3, activation="relu", **more)),
        (4, 6, 5, 3),
        (4, 4, 3, 7),
        (-1, 1),
    ),
    "FancyPCA": LayerRow(kerastricks.layers.FancyPCA, (4, 6, 5, 3), (4, 6, 5, 3), (0, 255), {"stddev": 0.2, "seed": 1}),
    "RandomCrop": LayerRow(
        kerastricks.layers.RandomCrop, (4, 6, 5, 3), (4, 5, 5, 3), (0, 255), {"height": 5, "width": 5, "padding": 2}
    ),
    "RandomHSV": LayerRow(
        kerastricks.layers.RandomHSV, (4, 6, 5, 3), (4, 6, 5, 3), (0, 255), {"shift_range": (-0.2, 0.1), "seed": 1}
    ),
    "RandomResizedCrop": LayerRow(
        kerastricks.layers.RandomResizedCrop, (4, 9, 7, 3), (4, 6, 5, 3), (0, 1), {"height": 6, "width": 5, "seed": 1}
    ),
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
    "DeltaOrthogonal": (lambda: kerastricks.initializers.DeltaOrthogonal(1.5, seed=1), (3, 3, 4, 6)),
    "Dirac": (lambda: kerastricks.initializers.Dirac(seed=1), (3, 3, 4, 6)),
    "FanIn": (lambda: kerastricks.initializers.FanIn("uniform", seed=1), (3, 3, 4, 6)),
    "HeNormal": (lambda: kerastricks.initializers.HeNormal(0.2, depthwise=True, seed=1), (3, 3, 4, 2)),
    "HeUniform": (lambda: kerastricks.initializers.HeUniform(0.2, depthwise=True, seed=1), (3, 3, 4, 2)),
    "LSUV": (lambda: kerastricks.initializers.LSUV(seed=1), (3, 3, 4, 6)),
    "SmallNormal": (lambda: kerastricks.initializers.SmallNormal(0.1, seed=1), (3, 3, 4, 6)),
    "SmallUniform": (lambda: kerastricks.initializers.SmallUniform(0.1, seed=1), (3, 3, 4, 6)),
    "XavierNormal": (lambda: kerastricks.initializers.XavierNormal(depthwise=True, seed=1), (3, 3, 4, 2)),
    "XavierUniform": (lambda: kerastricks.initializers.XavierUniform(depthwise=True, seed=1), (3, 3, 4, 2)),
}

LOSSES = {
    "DistillationLoss": kerastricks.losses.DistillationLoss,
    "FocalCrossentropy": lambda: kerastricks.losses.FocalCrossentropy(1.5, 0.1, from_logits=False),
    "LDAMLoss": lambda: kerastricks.losses.LDAMLoss((50, 5, 1), 0.4, 20.0, 0.1),
    "LabelAwareSmoothing": lambda: kerastricks.losses.LabelAwareSmoothing((50, 5, 1), 0.4, 0.1),
    "LabelSmoothingCrossentropy": lambda: kerastricks.losses.LabelSmoothingCrossentropy(0.1, from_logits=True),
    "LogitAdjustedCrossentropy": lambda: kerastricks.losses.LogitAdjustedCrossentropy((50, 5, 1), 1.5, 0.1),
}

SCHEDULES = {
    "CosineRestarts": lambda: kerastricks.schedules.CosineRestarts(0.1, 100, cycles=3, t_mul=1.5, final_fraction=0.1),
    "ExponentialCyclical": lambda: kerastricks.schedules.ExponentialCyclical(0.1, 12.5, 0.2, 0.99, "cycle"),
    "InverseSqrt": lambda: kerastricks.schedules.InverseSqrt(0.1, warmup_steps=20),
    "Warmup": lambda: kerastricks.schedules.Warmup(
        keras.optimizers.schedules.CosineDecay(0.1, 100), warmup_steps=20, start_fraction=0.1
    ),
    "OneCycle": lambda: kerastricks.schedules.OneCycle(0.1, 100, 30, start_fraction=0.1, final_fraction=0.01),
    "StepDecay": lambda: kerastricks.schedules.StepDecay(0.1, boundaries=(20, 60), factor=5.0),
    "Triangular": lambda: kerastricks.schedules.Triangular(0.1, 12.5, start_fraction=0.2),
    "Triangular2": lambda: kerastricks.schedules.Triangular2(0.1, 12.5, 0.2, "iterations"),
    "LinearDecay": lambda: kerastricks.schedules.LinearDecay(
        0.1, total_steps=100, warmup_steps=20, final_fraction=0.01
    ),
}

# spec and input shape; every name of the zoo has a row, narrow enough to be fast, and some are less deep than they are:
# the slow tests of the catalog train all of them as they are
MODELS = {
    "airbench": ("airbench(widths=(8, 8), dropout=0.1)", (12, 16, 1)),
    "efficientnet_lite0": ("efficientnet_lite0(width=0.25, depth=0.4, stochastic_depth=0.2)", (33, 32, 3)),
    "efficientnet_lite1": ("efficientnet_lite1(width=0.1, depth=0.1)", (32, 32, 1)),
    "efficientnet_lite2": ("efficientnet_lite2(width=0.1, depth=0.1)", (32, 32, 3)),
    "mlp": ("mlp(depth=2, width=8, dropout=0.1)", (8, 8, 1)),
    "nin": ("nin(dropout=0.1)", (8, 8, 3)),
    "plain_cnn": ("plain_cnn(widths=(8, 8), dropout=0.1)", (16, 12, 3)),
    "plain_22": ("plain_22(width=0.03, dense=(8, 6))", (32, 24, 3)),
    "plain_30": ("plain_30(width=0.03, dense=(8,))", (32, 32, 3)),
    "resnet_18": ("resnet_18(width=4, variant='original', stochastic_depth=0.2)", (64, 64, 1)),
    "resnet_34": ("resnet_34(width=4)", (16, 12, 3)),
    "resnet_50": ("resnet_50(width=4, dropout=0.1)", (64, 64, 3)),
    "resnet_20": ("resnet_20(width=4, dropout=0.1, stochastic_depth=0.1)", (16, 16, 1)),
    "resnet_32": ("resnet_32(width=4)", (16, 16, 3)),
    "resnet_56": ("resnet_56(width=4)", (8, 8, 3)),
    "resnet_110": ("resnet_110(depth=14, width=4, stochastic_depth=0.5)", (8, 8, 3)),
    "vgg_11": ("vgg_11(width=4, dense=(8, 8), dropout=0.1)", (32, 32, 3)),
    "vgg_13": ("vgg_13(width=4)", (20, 28, 1)),
    "vgg_16": ("vgg_16(width=4)", (16, 16, 3)),
    "vgg_19": ("vgg_19(width=4)", (16, 16, 3)),
    "wide_resnet_16_8": ("wide_resnet_16_8(width=1, dropout=0.1, stochastic_depth=0.2)", (16, 12, 3)),
    "wide_resnet_28_10": ("wide_resnet_28_10(depth=10, width=1)", (8, 8, 1)),
    "wide_resnet_40_4": ("wide_resnet_40_4(depth=10, width=1)", (8, 8, 3)),
}

# spec of every op, and whether it needs colour


def batch(row: LayerRow, size: int | None = None) -> np.ndarray:
    """Random input of a row."""
    low, high = row.value_range
    shape = row.input_shape if size is None else (size, *row.input_shape[1:])
    return np.random.default_rng(0).uniform(low, high, shape).astype("float32")


def output(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What a model gives, the cheapest way: on JAX compiled as a whole, not op for op; elsewhere not compiled."""
    if keras.backend.backend() == "jax":
        return model.predict_on_batch(images)
    return keras.ops.convert_to_numpy(model(images, training=False))


def one_training_step(model: keras.Model, images: np.ndarray, labels: np.ndarray, eager: bool = False) -> float:
    """Trains one step and returns the loss."""
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False, run_eagerly=eager)
    return float(model.train_on_batch(images, labels))

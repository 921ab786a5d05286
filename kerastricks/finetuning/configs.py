"""Configurations of the trainings of a fine-tuning: of the backbone, and of the small network."""

import dataclasses

import keras
import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.tensorflow_device import has_gpu
from kerastricks.errors import ConfigError
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.class_parts import check_counts, split_classes
from kerastricks.finetuning.settings import (
    IN_TWO_PARTS,
    PHOTOGRAPHS_AUGMENT,
    SMALL_SIDE_PX,
    Settings,
    default_epochs,
)
from kerastricks.training.config import Config
from kerastricks.training.resolved_config import ResolvedConfig, resolve

# Where a budget decides: what no training of the choice needs more than.
MOST_EPOCHS = 60


def small_images(data: ImageData, small: ImageData | None, config: Config) -> tuple[ImageData, ResolvedConfig] | None:
    """The images of the small network with the configuration of its training."""
    if small is None:
        if max(data.image_shape[:2]) > SMALL_SIDE_PX:
            return None
        whole = dataclasses.replace(data, batch_size=Config().batch_size)
        small = whole.taken(np.arange(data.splits["train"].size))
    for split in ("train", "validation"):
        if not np.array_equal(small.labels(split), data.labels(split)):
            raise ConfigError(f"small_data has other labels than data in {split}: load both with one seed")
    return small, resolve(small_config(config), small)


def small_config(config: Config) -> Config:
    """The configuration that `kerastricks train` would have for the data of a fine-tuning, on small images."""
    same = ["data", "classes", "validation", "test", "seed", "split_seed", "crop_fraction", "interpolation"]
    same += ["max_pixels", "max_skipped", "group", "bagging", "epochs", "imbalance"]
    augment = "auto" if config.augment == PHOTOGRAPHS_AUGMENT else config.augment
    return Config(**{name: getattr(config, name) for name in same}, augment=augment, jit=config.jit)


def finetuning_config(
    config: Config, data: ImageData, backbone: Backbone, settings: Settings | None = None
) -> ResolvedConfig:
    """Decides every "auto" and None of the configuration of a fine-tuning.

    Raises:
        ConfigError: for what only a training in one piece has: `average`, `keep`, `monitor`, `minutes`; for an
            `imbalance` that the strategy cannot take, and classes that it cannot divide.
    """
    settings = settings or Settings()
    if settings.strategy in IN_TWO_PARTS:
        _check_parts(config, data, settings)
        if config.imbalance == "auto":  # the strategy is what is done
            config = config.replace(imbalance="")
    for field in ("average", "keep"):
        if getattr(config, field):
            raise ConfigError(
                f"{field} is of a training in one piece, and a fine-tuning keeps the best weights of each stage: take "
                f"it out. Received: {field}={getattr(config, field)!r}"
            )
    if config.monitor != "val_loss":
        raise ConfigError(
            "monitor is of a training in one piece, and a fine-tuning compares its stages by validation accuracy: take "
            f"it out. Received: monitor={config.monitor!r}"
        )
    if config.minutes is not None:
        raise ConfigError(
            f"minutes is of a training in one piece: give --minutes, or Settings(minutes=), for a fine-tuning. "
            f"Received: minutes={config.minutes!r}"
        )
    epochs = config.epochs
    if epochs is None and settings.seconds is not None:
        epochs = MOST_EPOCHS
    elif epochs is None and settings.strategy != "small":
        epochs = default_epochs(len(data.labels("train")))
    depthwise = any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in backbone.model.layers)
    if config.precision == "auto" and depthwise and not has_gpu():
        # Measured: a CPU has no fast depthwise convolution in bfloat16, docs/finetuning.md.
        config = config.replace(precision="float32")
    resolved = resolve(config.replace(epochs=epochs), data)
    _check_imbalance(resolved, settings)
    return resolved


def _check_parts(config: Config, data: ImageData, settings: Settings) -> None:
    """Raise ConfigError for classes that a strategy in two parts cannot take."""
    counts = data.class_counts()
    check_counts(counts["train"], data.class_names, settings.strategy)
    if settings.strategy != "two_stage":
        return
    if config.imbalance not in ("", "auto"):
        raise ConfigError(
            "plan two_stage is a remedy for imbalanced classes itself: leave imbalance out, or take plan decoupled, "
            f"last or all with it. Received: imbalance={config.imbalance!r}"
        )
    parts = split_classes(counts["train"], data.class_names, settings.rare_below, settings.rare_only)
    if not any(counts["validation"][label] for label in parts.well_filled):
        name = data.class_names[parts.well_filled[0]]
        raise ConfigError(
            f"plan two_stage: no validation image is of a well-filled class, {name!r} or another, "
            "by which its first part is measured: add some, or take plan decoupled"
        )


def _check_imbalance(config: ResolvedConfig, settings: Settings) -> None:
    """Raise ConfigError for a remedy that a strategy cannot take."""
    remedies = config.specs.imbalance
    if not remedies:
        return
    if settings.strategy == "auto":
        raise ConfigError(
            f"imbalance={config.imbalance!r} goes with a plan that is named: plan auto compares trainings by plain "
            "accuracy, which a remedy lowers. Take plan decoupled, last or all (--plan)"
        )
    if remedies.loss is not None and remedies.loss.name == "ldam" and settings.strategy != "small":
        raise ConfigError(
            "imbalance: ldam needs a head of cosines, and that of a fine-tuning starts from a linear probe: take "
            "balanced_softmax, or train without a backbone"
        )

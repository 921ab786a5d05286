"""The range test of a training by `kerastricks.training.fit` does it."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from kerastricks.data.image_data import ImageData
from kerastricks.keras_graph import precision, split_head
from kerastricks.progress import Progress, silent
from kerastricks.range_test.lr_range_test import LRRangeTest
from kerastricks.range_test.result import RangeTestResult
from kerastricks.range_test.verdict import judge_sweeps
from kerastricks.training.config import Config
from kerastricks.training.fitting import check_fits, fresh_stage, training_loss
from kerastricks.training.fused_batch_norm import fused_batch_norm
from kerastricks.training.optimizer import build_optimizer
from kerastricks.training.resolved_config import resolve
from kerastricks.training.training_model import TrainingModel


def find_learning_rate(
    model: keras.Model,
    data: ImageData,
    config: Config | None = None,
    progress: Progress = silent,
    seconds: float | None = None,
    **settings: Any,
) -> RangeTestResult:
    """Finds the `learning_rate` of a training: its optimizer, loss, augmentation, precision and batches.

    The schedule is set aside: the suggestion is its highest rate. All rates are values of `config.learning_rate`, which
    `scale_lr` may multiply. `model` is left as it was.

    Args:
        model: as `kerastricks.training.fit` takes it, with the weights that training begins with.
        data: from `kerastricks.data.load`; the batches are the first of its training.
        config: of the training; its `learning_rate`, `schedule` and `epochs` do not matter.
        progress: shows how far it is.
        seconds: wall-clock limit; see `LRRangeTest.run`.
        **settings: of `LRRangeTest`: low, high, steps, sweeps, seed, divergence.

    Returns:
        A `RangeTestResult`.

    Raises:
        UsageError: as `fit` and `LRRangeTest` do.

    Example:
        >>> import kerastricks, numpy
        >>> x = numpy.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype("uint8")
        >>> data = kerastricks.data.load((x, numpy.arange(64) % 2), batch_size=16)
        >>> model = kerastricks.models.create("plain_cnn(widths=(4,))", data.image_shape, 2)
        >>> result = kerastricks.range_test.find_learning_rate(model, data, sweeps=1, steps=20)
        >>> result.losses.shape
        (1, 20)
    """
    config = resolve(config or Config(), data)
    factor = config.peak_rate / config.learning_rate
    scaled = {name: value * factor if name in ("low", "high") else value for name, value in settings.items()}
    with training_model(model, data, config) as compiled, data.one_error():
        test = LRRangeTest(compiled, **{"seed": config.seed, **scaled})
        result = test.run(first_batches(data, compiled, test.steps), progress=progress, seconds=seconds)
    return result if factor == 1 else judge_sweeps(result.rates / factor, result.losses)


@contextmanager
def training_model(model: keras.Model, data: ImageData, config: Config) -> Iterator[TrainingModel]:
    """The model that `fit` trains, compiled with a constant rate, and built.

    Args:
        model: a classifier.
        data: its images.
        config: resolved.
    """
    check_fits(model, data)
    classifier, from_logits = split_head(model)
    compiled = TrainingModel(classifier, fresh_stage(data.device_stage), model, mixes_weights=data.mixes_weights)
    constant = dataclasses.replace(config, schedule="constant", scale_lr="constant")
    compiled.compile(
        optimizer=build_optimizer(constant, 1, classifier),
        loss=training_loss(config, from_logits, data),
        jit_compile=config.jit,
    )
    with precision(model, config.precision), fused_batch_norm(model):
        compiled.build((None, *data.image_shape))
        yield compiled


def first_batches(data: ImageData, model: TrainingModel, count: int) -> Any:
    """The first batches of the training: one epoch of them, or `count` of a longer one."""
    batches = data.train_from(0).take(min(count, data.steps_per_epoch))
    if model.device_stage is not None and model.device_stage.mixes:
        return batches.map(lambda images, labels: ((images, labels), labels))
    return batches

"""Times a training at an image size, by a few steps on noise and a few batches of the images."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.data.sources.headers import read_headers
from kerastricks.data.sources.reading import find_source
from kerastricks.data.sources.source import Files
from kerastricks.keras_graph import precision, split_head
from kerastricks.progress import silent
from kerastricks.training.config import Config
from kerastricks.training.fitting import check_fits, training_loss
from kerastricks.training.fused_batch_norm import fused_batch_norm
from kerastricks.training.optimizer import build_optimizer
from kerastricks.training.resolved_config import ResolvedConfig, resolve
from kerastricks.training.training_model import TrainingModel

SIZES_PX = (32, 48, 64, 96, 128)  # sides that are tried where images can be resized
_EVALUATED = ("validation", "test")
_FORWARD = 0.4  # of a training step, to evaluate as many images
_MOST_STEPS, _ENOUGH_SECONDS = 10, 2.0  # of a timing, after the step that compiles
_LOOKED_AT = 64  # files whose headers tell how large the images are


@dataclass(frozen=True)
class SizeTiming:
    """Time that a training takes at one image size, in seconds of the wall.

    Args:
        image_size: side in pixels; None for the size the images have, where that is not square.
        step_seconds: a training step, its batch included.
        evaluation_seconds: the validation images, once an epoch.
        once_seconds: once in a training: compiling, reading the images at this size where they are not yet, and
            evaluating the test images.
    """

    image_size: int | None
    step_seconds: float
    evaluation_seconds: float
    once_seconds: float

    def scaled(self, image_size: int, ratio: float) -> "SizeTiming":
        """An estimate for another size, `ratio` times this one: steps and evaluation by the number of pixels."""
        factor = ratio**2
        return SizeTiming(image_size, self.step_seconds * factor, self.evaluation_seconds * factor, self.once_seconds)


def size_timer(
    create_model: Callable[[tuple[int, int, int]], keras.Model],
    data: ImageData,
    config: Config,
    reading_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[int | None], SizeTiming]:
    """Makes a function that times a size by a few steps of an untrained model on noise, and a few batches of images.

    Args:
        create_model: from (height, width, channels) to an untrained classifier.
        data: the images as they were read.
        config: of the training.
        reading_seconds: that `data` took to be read, and that another size takes.
        clock: in seconds.
    """
    resolved = resolve(config, data)
    batch_seconds = _seconds_of_batches(data, clock)

    def timed(size: int | None) -> SizeTiming:
        own = size == own_size(data)
        shape = data.image_shape if own or size is None else (size, size, data.image_shape[2])
        compiling, step = _seconds_of_steps(create_model(shape), data, resolved, shape, clock)
        step += batch_seconds
        validation, test = (_FORWARD * step * data.splits[name].size / data.batch_size for name in _EVALUATED)
        return SizeTiming(size, step, validation, compiling + test + (0.0 if own else reading_seconds))

    return timed


def own_size(data: ImageData) -> int | None:
    """The side of square images in pixels, None of others."""
    height, width, _ = data.image_shape
    return height if height == width else None


def image_sizes(source: Any, config: Config, data: ImageData) -> list[int | None]:
    """Sides in pixels that a training may choose from: that of `data`, and for files the usual ones that they reach.

    Args:
        source: as `kerastricks.data.load` takes it.
        config: of the training; with an `image_size` there is no choice.
        data: the images as they were read.
    """
    own = own_size(data)
    if own is None or config.image_size is not None or data.splits["train"].service is not None:
        return [own]
    train = find_source(source).splits["train"]
    if not isinstance(train, Files):
        return [own]
    few = np.linspace(0, len(train) - 1, min(_LOOKED_AT, len(train))).astype(int)
    sides = read_headers(train.take(few), config.max_pixels, "", silent).sizes.min(axis=1)
    native = float(np.median(sides[sides > 0])) if (sides > 0).any() else own
    return [*sorted({own, *(size for size in SIZES_PX if size <= native)})]


def _seconds_of_batches(data: ImageData, clock: Callable[[], float]) -> float:
    """Seconds of making a training batch on the host."""
    if data.splits["train"].service is not None:
        return 0.0  # made elsewhere, while the steps are executed
    batches = iter(data.train_from(0))
    next(batches)  # starts what makes them
    return _median_seconds(lambda: next(batches), clock)


def _seconds_of_steps(
    model: keras.Model, data: ImageData, config: ResolvedConfig, shape: tuple[int, int, int], clock: Callable[[], float]
) -> tuple[float, float]:
    """The first step, which compiles, and one of those after it; on noise of the shape, without augmentation."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (data.batch_size, *shape)).astype("float32")
    labels = generator.integers(0, len(data.class_names), data.batch_size).astype("int32")
    classifier, from_logits = split_head(model)
    compiled = TrainingModel(classifier, None, model)
    constant = config.replace(schedule="constant", scale_lr="constant", average="")
    compiled.compile(
        optimizer=build_optimizer(constant, 1, classifier),
        loss=training_loss(config, from_logits, data),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=config.jit,
    )
    if shape == data.image_shape:
        check_fits(model, data)
    with precision(model, config.precision), fused_batch_norm(model):
        compiled.build((None, *shape))
        began = clock()
        compiled.train_on_batch(images, labels)
        first = clock() - began
        step = _median_seconds(lambda: compiled.train_on_batch(images, labels), clock)
    return max(first - step, 0.0), step


def _median_seconds(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    took: list[float] = []
    while not took or (len(took) < _MOST_STEPS and sum(took) < _ENOUGH_SECONDS):
        began = clock()
        work()
        took.append(clock() - began)
    return statistics.median(took)

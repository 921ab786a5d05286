"""Chooses image size and epochs so that a training fits a budget of time."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.data.sources.headers import read_headers
from kerastricks.data.sources.reading import find_source
from kerastricks.data.sources.source import Files
from kerastricks.errors import ConfigError
from kerastricks.keras_graph import precision, split_head
from kerastricks.progress import duration, silent
from kerastricks.training.config import Config
from kerastricks.training.fitting import check_fits, resolve, training_loss
from kerastricks.training.fused_batch_norm import fused_batch_norm
from kerastricks.training.optimizer import build_optimizer
from kerastricks.training.training_model import TrainingModel

SIZES_PX = (32, 48, 64, 96, 128)  # sides that are tried where images can be resized
# More pixels are not worth fewer passes than this share of those without a budget, nor fewer than so many:
# docs/training.md.
ENOUGH_SHARE, ENOUGH_EPOCHS = 0.5, 12
FINISHING_SECONDS = 20.0  # saving, exporting, checking the export in a fresh process, curves
_EVALUATED = ("validation", "test")
_MARGIN = 0.1  # of the time, for what the timed steps do not show
_FORWARD = 0.4  # of a training step, to evaluate as many images
_MOST_STEPS, _ENOUGH_SECONDS = 10, 2.0  # of a timing, after the step that compiles
_LOOKED_AT = 64  # files whose headers tell how large the images are


@dataclass(frozen=True)
class SizeTiming:
    """What a training costs at one image size, in seconds of the wall.

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

    def scaled(self, image_size: int) -> "SizeTiming":
        """An estimate for another size: steps and evaluation by the number of pixels."""
        assert self.image_size is not None
        factor = (image_size / self.image_size) ** 2
        return SizeTiming(image_size, self.step_seconds * factor, self.evaluation_seconds * factor, self.once_seconds)


@dataclass(frozen=True)
class BudgetPlan:
    """What a training does in its budget.

    Args:
        image_size: side in pixels; None where the images are used as they are and not square.
        epochs: passes over the training images, 1 or more.
        epoch_seconds: that one is expected to take, evaluation included.
        training_seconds: left for the epochs: pass it to `fit(..., seconds=...)`, which ends in time where an epoch
            takes longer than expected.
        why: a line for people.
    """

    image_size: int | None
    epochs: int
    epoch_seconds: float
    training_seconds: float
    why: str


def plan_budget(
    timings: Sequence[SizeTiming],
    seconds: float,
    *,
    steps_per_epoch: int,
    most_epochs: int,
    epochs: int | None = None,
) -> BudgetPlan:
    """The largest size that leaves enough epochs, and as many epochs as fit; pure arithmetic.

    A tenth of the time is kept back. Enough is half of `most_epochs`, twelve or more (or all of them where they are
    fewer); where no size leaves so many, the smallest is taken. Where not even one epoch fits, one is planned, and
    `fit` ends it in time.

    Args:
        timings: of each size that may be chosen, one or more.
        seconds: from now to the end of the last epoch, reading and compiling included.
        steps_per_epoch: training batches.
        most_epochs: more are not planned, however much time there is.
        epochs: that were asked for; None to choose them.

    Returns:
        A `BudgetPlan`.

    Example:
        >>> from kerastricks.training import SizeTiming, plan_budget
        >>> timings = [SizeTiming(32, 0.1, 0.5, 5.0), SizeTiming(64, 0.4, 2.0, 5.0)]
        >>> plan = plan_budget(timings, 300.0, steps_per_epoch=15, most_epochs=60)
        >>> plan.image_size, plan.epochs
        (64, 33)

    Reference:
        None: chosen by measurement, see docs/training.md.
    """
    if not timings:
        raise ConfigError("timings must be of one size or more. Received: none")
    enough_epochs = min(max(ENOUGH_SHARE * most_epochs, ENOUGH_EPOCHS), most_epochs)
    wanted = enough_epochs if epochs is None else epochs
    ordered = sorted(timings, key=lambda timing: timing.step_seconds)
    fitting = [_epochs_that_fit(timing, seconds, steps_per_epoch) for timing in ordered]
    enough = [place for place, fit in enumerate(fitting) if fit >= wanted]
    place = enough[-1] if enough else 0
    chosen, fits = ordered[place], fitting[place]
    count = epochs if epochs is not None else max(1, min(math.floor(fits), most_epochs))
    epoch_seconds = _epoch_seconds(chosen, steps_per_epoch)
    left = max(seconds - chosen.once_seconds, 0.0)
    parts = [f"{count} epochs of about {duration(epoch_seconds)} at {_side(chosen)}"]
    if fits < count:
        parts.append(f"that is more than the {duration(left)} left, so that the learning rate runs out before the last")
    elif epochs is None and count == most_epochs:
        parts.append("more are not worth their time")
    if place + 1 < len(ordered):
        larger, more = ordered[place + 1], math.floor(fitting[place + 1])
        parts.append(f"at {_side(larger)} only {more} would fit")
    return BudgetPlan(chosen.image_size, count, epoch_seconds, left, "; ".join(parts))


def choose_size(
    sizes: Sequence[int | None],
    time_size: Callable[[int | None], SizeTiming],
    seconds: Callable[[], float],
    **plan: Any,
) -> BudgetPlan:
    """Plans with as few sizes timed as are needed: the smallest, then those that would be chosen by its pixels.

    Args:
        sizes: that may be chosen, one or more.
        time_size: times one of them.
        seconds: what is left of the budget, asked after each timing.
        **plan: of `plan_budget`: steps_per_epoch, most_epochs, epochs.

    Returns:
        A `BudgetPlan` for a size that was timed.
    """
    ordered = sorted(sizes, key=lambda size: size or 0)
    timed: dict[int | None, SizeTiming] = {}
    while not timed:
        try:
            timed[ordered[0]] = time_size(ordered[0])
        except ValueError:  # a network that halves its images too often for small ones
            if len(ordered) == 1:
                raise
            del ordered[0]
    while True:
        estimates = []
        for size in ordered:
            below = [other for other in timed if other is not None and size is not None and other < size]
            if size in timed:
                estimates.append(timed[size])
            elif size is not None:
                estimates.append(timed[max(below)].scaled(size))
        found = plan_budget(estimates, seconds(), **plan)
        if found.image_size in timed:
            return found
        timed[found.image_size] = time_size(found.image_size)


def plan_training(
    create_model: Callable[[tuple[int, int, int]], keras.Model],
    data: ImageData,
    config: Config,
    seconds: float,
    *,
    sizes: Sequence[int | None] | None = None,
    reading_seconds: float = 0.0,
    finishing_seconds: float = FINISHING_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> BudgetPlan:
    """Times some training steps, and chooses image size and epochs so that a training ends in so many seconds.

    The random state is changed; nothing else is. Call `keras.backend.clear_session()` afterwards, so that the layers of
    the model that is trained are named as in a training by itself.

    Args:
        create_model: from (height, width, channels) to an untrained classifier.
        data: the images as they were read; of another size they are read again, in as many seconds.
        config: of the training; `epochs` are chosen where it has none.
        seconds: from now to the end of the work, timing and finishing included.
        sizes: sides in pixels that may be chosen; None for the size of `data` alone. See `image_sizes`.
        reading_seconds: that `data` took to be read.
        finishing_seconds: kept for what follows the last epoch.
        clock: in seconds.

    Returns:
        A `BudgetPlan`.
    """
    began = clock()
    resolved = resolve(dataclasses.replace(config, epochs=None), data)
    assert resolved.epochs is not None
    return choose_size(
        [own_size(data)] if sizes is None else sizes,
        size_timer(create_model, data, config, reading_seconds, clock),
        lambda: seconds - (clock() - began) - finishing_seconds,
        steps_per_epoch=data.steps_per_epoch,
        most_epochs=resolved.epochs,
        epochs=config.epochs,
    )


def size_timer(
    create_model: Callable[[tuple[int, int, int]], keras.Model],
    data: ImageData,
    config: Config,
    reading_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[int | None], SizeTiming]:
    """What times a size, by a few steps of an untrained model on noise and a few batches of the images.

    Args:
        create_model: from (height, width, channels) to an untrained classifier.
        data: the images as they were read.
        config: of the training.
        reading_seconds: that `data` took to be read, and that another size takes.
        clock: in seconds.
    """
    config = resolve(config, data)
    batch_seconds = _seconds_of_batches(data, clock)

    def timed(size: int | None) -> SizeTiming:
        own = size == own_size(data)
        shape = data.image_shape if own or size is None else (size, size, data.image_shape[2])
        compiling, step = _seconds_of_steps(create_model(shape), data, config, shape, clock)
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


def _epochs_that_fit(timing: SizeTiming, seconds: float, steps_per_epoch: int) -> float:
    room = (seconds - timing.once_seconds) * (1 - _MARGIN)
    return max(room, 0.0) / max(_epoch_seconds(timing, steps_per_epoch), 1e-9)


def _epoch_seconds(timing: SizeTiming, steps_per_epoch: int) -> float:
    return steps_per_epoch * timing.step_seconds + timing.evaluation_seconds


def _side(timing: SizeTiming) -> str:
    return "the size the images have" if timing.image_size is None else f"{timing.image_size} pixels"


def _seconds_of_batches(data: ImageData, clock: Callable[[], float]) -> float:
    """A training batch alone, as the host makes it."""
    if data.splits["train"].service is not None:
        return 0.0  # made elsewhere, while the steps are executed
    batches = iter(data.train_from(0))
    next(batches)  # starts what makes them
    return _median_seconds(lambda: next(batches), clock)


def _seconds_of_steps(
    model: keras.Model, data: ImageData, config: Config, shape: tuple[int, int, int], clock: Callable[[], float]
) -> tuple[float, float]:
    """The first step, which compiles, and one of those after it; on noise of the shape, without augmentation."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (data.batch_size, *shape)).astype("float32")
    labels = generator.integers(0, len(data.class_names), data.batch_size).astype("int32")
    classifier, from_logits = split_head(model)
    compiled = TrainingModel(classifier, None, model)
    constant = dataclasses.replace(config, schedule="constant", scale_lr="constant", average="")
    compiled.compile(
        optimizer=build_optimizer(constant, 1, classifier),
        loss=training_loss(config, from_logits, data.augmentation.mixes),
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

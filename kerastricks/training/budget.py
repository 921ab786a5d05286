"""Plans image size and epochs so that a training fits a budget of time."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError
from kerastricks.progress import duration
from kerastricks.training.config import Config
from kerastricks.training.resolved_config import resolve
from kerastricks.training.size_timing import SizeTiming, own_size, size_timer

# More pixels are not worth fewer passes than this share of those without a budget, nor fewer than so many:
# docs/training.md.
ENOUGH_SHARE, ENOUGH_EPOCHS = 0.5, 12
FINISHING_SECONDS = 20.0  # saving, exporting, checking the export in a fresh process, curves
_MARGIN = 0.1  # of the time, for what the timed steps do not show


@dataclass(frozen=True)
class BudgetPlan:
    """Image size and epochs that fit a budget of time.

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
                estimates.append(timed[max(below)].scaled(size, size / max(below)))
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
        sizes: sides in pixels that may be chosen; None for only the size of `data`. See `image_sizes`.
        reading_seconds: that `data` took to be read.
        finishing_seconds: kept for what follows the last epoch.
        clock: in seconds.

    Returns:
        A `BudgetPlan`.
    """
    began = clock()
    most_epochs = resolve(config.replace(epochs=None), data).epochs
    return choose_size(
        [own_size(data)] if sizes is None else sizes,
        size_timer(create_model, data, config, reading_seconds, clock),
        lambda: seconds - (clock() - began) - finishing_seconds,
        steps_per_epoch=data.steps_per_epoch,
        most_epochs=most_epochs,
        epochs=config.epochs,
    )


def _epochs_that_fit(timing: SizeTiming, seconds: float, steps_per_epoch: int) -> float:
    room = (seconds - timing.once_seconds) * (1 - _MARGIN)
    return max(room, 0.0) / max(_epoch_seconds(timing, steps_per_epoch), 1e-9)


def _epoch_seconds(timing: SizeTiming, steps_per_epoch: int) -> float:
    return steps_per_epoch * timing.step_seconds + timing.evaluation_seconds


def _side(timing: SizeTiming) -> str:
    return "the size the images have" if timing.image_size is None else f"{timing.image_size} pixels"

"""Choice of image size, sweeps and steps so that a range test fits a time budget."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kerastricks.training.size_timing import SizeTiming

SWEEPS, STEPS = 5, 100  # where there is time
# What is cut, in this order, before the images are made smaller: a median of three, and 60 steps of a curve.
_SHAPES = ((SWEEPS, STEPS), (3, STEPS), (3, 60))
_LAST_SHAPES = ((3, 40), (2, 40), (1, 40), (1, 20))  # of the smallest images only
_MARGIN = 0.1  # of the time


@dataclass(frozen=True)
class RangeTestPlan:
    """A range test that fits its budget.

    Args:
        image_size: side in pixels; None where the images are used as they are and not square.
        sweeps: over the same batches.
        steps: of a sweep.
        whole_seconds: the time of the test without cuts.
        is_cut: whether anything was.
    """

    image_size: int | None
    sweeps: int
    steps: int
    whole_seconds: float
    is_cut: bool


def plan_range_test(
    sizes: Sequence[int | None],
    time_size: Callable[[int | None], SizeTiming],
    seconds: Callable[[], float],
    sweeps: int | None = None,
    steps: int | None = None,
) -> RangeTestPlan:
    """Plans the largest images with at least three sweeps of 60 steps, and as much of five of 100 as fits.

    The largest size is timed; others are estimated by their pixels, and the chosen one is timed before it is
    taken. Given sweeps and steps are kept. Where nothing fits, it is one sweep of 20 steps over the smallest images.

    Args:
        sizes: sides in pixels that may be chosen; the largest is that of the training.
        time_size: times one of them.
        seconds: what is left, asked after each timing.
        sweeps: that were asked for, or None.
        steps: of a sweep that were asked for, or None.
    """
    ordered = sorted(sizes, key=lambda size: size or 0, reverse=True)
    timed = {ordered[0]: time_size(ordered[0])}
    shapes = _asked(_SHAPES, sweeps, steps)
    whole = _seconds(timed[ordered[0]], *shapes[0]) - timed[ordered[0]].once_seconds
    while True:
        left = seconds()
        estimates = [(size, timed.get(size) or _scaled(timed, size)) for size in ordered]
        choices = [(size, timing, shape) for size, timing in estimates for shape in shapes]
        choices += [(*estimates[-1], shape) for shape in _asked(_LAST_SHAPES, sweeps, steps)]
        fitting = [choice for choice in choices if _seconds(choice[1], *choice[2]) <= left * (1 - _MARGIN)]
        size, _, shape = fitting[0] if fitting else choices[-1]
        if size in timed:
            return RangeTestPlan(size, *shape, whole, (size, shape) != (ordered[0], shapes[0]))
        timed[size] = time_size(size)


def _asked(shapes: Sequence[tuple[int, int]], sweeps: int | None, steps: int | None) -> list[tuple[int, int]]:
    return list(dict.fromkeys((sweeps or those, steps or these) for those, these in shapes))


def _scaled(timed: dict[int | None, SizeTiming], size: int | None) -> SizeTiming:
    """An estimate from the timed size that is nearest."""
    assert size is not None
    nearest = min((other for other in timed if other is not None), key=lambda other: abs(math.log(other / size)))
    return timed[nearest].scaled(size, size / nearest)


def _seconds(timing: SizeTiming, sweeps: int, steps: int) -> float:
    return timing.once_seconds + sweeps * steps * timing.step_seconds

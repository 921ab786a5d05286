"""Which trials cannot be expected to win any more."""

import math
from collections.abc import Mapping, Sequence
from statistics import median


def cannot_win(
    curve: Mapping[int, float],
    finished: Sequence[Mapping[int, float]],
    direction: str,
    first_trials: int = 4,
    first_steps: int = 2,
) -> bool:
    """Whether the best value of a running trial is worse than the median of what the finished ones had by then.

    It is Vizier's median stopping rule. A trial that begins slowly and ends well is lost to it: schedules that differ
    in length of warm-up make that likelier, and `first_steps` less so. Values that are not finite do not count.

    Args:
        curve: of the running trial: value of the objective by step, from 1.
        finished: the curves of trials that ran to their end.
        direction: "min" or "max".
        first_trials: with fewer finished ones nothing is stopped.
        first_steps: nothing is stopped before this step is done.

    Reference:
        Golovin et al.: Google Vizier, KDD 2017, section 3.2.2. Deviation: none is stopped during `first_steps`.
    """
    step = max(curve, default=0)
    sign = 1 if direction == "max" else -1
    reached = [sign * value for value in curve.values() if math.isfinite(value)]
    if step < first_steps or not reached:
        return False
    means = []
    for other in finished:
        until = [sign * value for at, value in other.items() if at <= step and math.isfinite(value)]
        if until and max(other) >= step:
            means.append(sum(until) / len(until))
    return len(means) >= first_trials and max(reached) < median(means)

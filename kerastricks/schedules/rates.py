"""The rates of a schedule, as numbers."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def rates(schedule: Any, steps: Sequence[int]) -> np.ndarray:
    """What a schedule gives at each of `steps`.

    Args:
        schedule: a Keras schedule, or a rate that stays.
        steps: of the optimizer, from 0.

    Returns:
        float32, one for each step.

    Example:
        >>> import kerastricks
        >>> schedule = kerastricks.schedules.get("linear(0.1, warmup=0.2)", total_steps=100)
        >>> kerastricks.schedules.rates(schedule, [20, 60]).round(3).tolist()
        [0.10000000149011612, 0.05000000074505806]
    """
    if not callable(schedule):
        return np.full(len(steps), schedule, "float32")
    # One by one: Keras's own schedules with a warm-up take scalars alone.
    return np.array([keras.ops.convert_to_numpy(schedule(int(step))) for step in steps], "float32")

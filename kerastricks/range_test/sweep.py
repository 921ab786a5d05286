"""One sweep: trains from the low rate to the high one, and notes the loss of each batch."""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from kerastricks.errors import UsageError
from kerastricks.range_test.rate_control import RateControl

_MEMORY = 0.8  # of the running average that decides about stopping
_FIRST_STEPS = 5  # before these nothing is known of the loss it began with


def sweep(
    model: keras.Model,
    batches: Sequence[tuple],
    order: np.ndarray,
    control: RateControl,
    divergence: float,
    done: Callable[[int], None],
) -> np.ndarray:
    """The loss of the batch at each step, before the step's update; NaN from where it was stopped.

    Stopped is where the loss is not finite (it is noted as infinite) or the running average exceeds
    `best + (divergence - 1) max(|best|, |first - best|)`: that is `divergence * best` as long as the loss has not
    fallen by half, and does not stop at a ripple once it is almost zero.

    Args:
        model: compiled.
        batches: (x, y, sample_weight) each.
        order: of the batches, one for each step.
        control: sets the rate.
        divergence: how many times the best loss is too much.
        done: gets the number of steps that need no more waiting for.
    """
    losses = np.full(len(order), np.nan)
    average, best, first = 0.0, math.inf, math.inf
    for step, number in enumerate(order):
        control.set(step)
        x, y, weight = batches[number]
        logs = model.train_on_batch(x, y, sample_weight=weight, return_dict=True)
        if "loss" not in logs:
            raise UsageError(
                f"model: its train_step gives no 'loss', which the range test reads. Received: {sorted(logs)}"
            )
        loss = float(logs["loss"])
        losses[step] = loss if math.isfinite(loss) else math.inf
        average = _MEMORY * average + (1 - _MEMORY) * losses[step]
        smoothed = average / (1 - _MEMORY ** (step + 1))
        if step == _FIRST_STEPS - 1:
            first = smoothed
        if math.isfinite(smoothed):
            best = min(best, smoothed)
        reach = max(abs(best), abs(first - best)) if math.isfinite(first) else abs(best)
        if not math.isfinite(smoothed) or smoothed > best + (divergence - 1) * reach:
            done(len(order) - step)
            break
        done(1)
    return losses

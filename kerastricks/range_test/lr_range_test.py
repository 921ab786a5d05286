"""The range test of a compiled model: sweeps from a low rate to a high one, after which the model is as before."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kerastricks.errors import UsageError
from kerastricks.keras_graph import all_layers
from kerastricks.progress import Progress, silent
from kerastricks.range_test.batches import take_batches
from kerastricks.range_test.kept_state import KeptState, model_variables, random_state_kept, reseed
from kerastricks.range_test.rate_control import RateControl, leaves
from kerastricks.range_test.result import RangeTestResult
from kerastricks.range_test.verdict import judge_sweeps

_MEMORY = 0.8  # of the running average that decides about stopping
_FIRST_STEPS = 5  # whose average is the initial loss


def sweep(
    model: keras.Model,
    batches: Sequence[tuple],
    order: np.ndarray,
    control: RateControl,
    divergence: float,
    done: Callable[[int], None],
) -> np.ndarray:
    """Trains from the low rate to the high one and records the loss of each batch, before the update.

    It stops where the loss is not finite (recorded as infinite) or the running average exceeds
    `best + (divergence - 1) max(|best|, |first - best|)`: that is `divergence * best` as long as the loss has not
    fallen by half, and a ripple is no reason to stop once the loss is almost zero.

    Args:
        model: compiled.
        batches: (x, y, sample_weight) each.
        order: of the batches, one for each step.
        control: sets the rate.
        divergence: how many times the best loss is too much.
        done: receives the number of steps that are done or skipped.

    Returns:
        (steps,) losses; NaN after the stop.
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


# Their steps are proportional to the gradient; those of all others are about as long as the rate, or shorter.
_BY_GRADIENT = (keras.optimizers.SGD, keras.optimizers.Adadelta, keras.optimizers.Adagrad, keras.optimizers.Ftrl)


class LRRangeTest:
    """Trains with a rate that grows from step to step, in several sweeps, and leaves the model as it was.

    Each sweep begins with the weights the model has, sees the same batches in another order and draws its dropout and
    augmentation from other seeds; the rate grows by the same factor at each step. Weights, optimizer (slots,
    iterations, loss scale, rate, schedule), batch-norm statistics, metrics and the random state of layers, Keras,
    Python, NumPy and torch are copied to memory and put back, to the bit. The compiled training step is used by all
    sweeps and left for `fit`; only where the optimizer has a schedule, which is part of that step, another is
    compiled for the test.

    Any compiled model on any backend will do: `MultiOptimizer` keeps the ratios of its rates and is measured by its
    highest, loss scaling, clipping and gradient accumulation stay as they are. Run it on the weights that training
    begins with: a model that has learned already gives another curve, lower and with its edge elsewhere. What a layer
    draws from `tf.random` itself, or a Python function inside a `tf.data.Dataset` remembers, cannot be put back.

    Args:
        model: compiled.
        low: rate of the first step; by default 1e-5 for SGD, 1e-6 for Adam and its like, 1e-7 for Lion.
        high: rate of the last step; by default 10, 1 and 0.1.
        steps: of a sweep, 20 or more. Fewer take less time; momentum then shows a rise later, at higher rates.
        sweeps: how often.
        seed: of orders and draws.
        divergence: a sweep is stopped where its loss is not finite, or its running average exceeds this many times
            the best; once the loss has fallen by more than half, this many times the fall counts instead.

    Raises:
        UsageError: a ValueError, for a model that is not compiled and for arguments out of range.

    Example:
        >>> import keras, numpy
        >>> from kerastricks.range_test import LRRangeTest
        >>> generator = numpy.random.default_rng(0)
        >>> x = generator.normal(size=(640, 8)).astype("float32")
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> result = LRRangeTest(model, steps=60, sweeps=3).run(x, x.sum(axis=1), batch_size=64)
        >>> 0.01 < result.suggestion < 1
        True

    Reference:
        Smith: Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section 3.3. Deviations: the
        rate grows exponentially, as in fastai, and not linearly; the loss of training batches is read, not the
        validation accuracy; there are several sweeps.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        low: float | None = None,
        high: float | None = None,
        steps: int = 100,
        sweeps: int = 5,
        seed: int = 0,
        divergence: float = 4.0,
    ) -> None:
        if not getattr(model, "compiled", False) or model.optimizer is None:
            raise UsageError("model: must be compiled with an optimizer and a loss: call model.compile first")
        default_low, default_high = default_bounds(model.optimizer)
        self.low = default_low if low is None else float(low)
        self.high = default_high if high is None else float(high)
        if not 0 < self.low < self.high < float("inf"):
            raise UsageError(f"low and high: must hold 0 < low < high. Received: low={self.low}, high={self.high}")
        if steps < 20:
            raise UsageError(f"steps: must be 20 or more, or no curve can be seen. Received: steps={steps}")
        if sweeps < 1:
            raise UsageError(f"sweeps: must be 1 or more. Received: sweeps={sweeps}")
        if not divergence > 1:
            raise UsageError(f"divergence: must be above 1. Received: divergence={divergence}")
        self.model = model
        self.steps = steps
        self.sweeps = sweeps
        self.seed = seed
        self.divergence = divergence

    def run(
        self,
        dataset: Any,
        y: Any = None,
        *,
        batch_size: int | None = None,
        progress: Progress = silent,
        seconds: float | None = None,
    ) -> RangeTestResult:
        """Runs the sweeps and restores everything, also when interrupted.

        Args:
            dataset: what `fit` takes: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a torch `DataLoader`, arrays;
                or a list of batches. No generator, and no `tf.data.Dataset` that shuffles anew at each iteration: their
                position could not be restored.
            y: targets of arrays.
            batch_size: of arrays; 32 by default.
            progress: shows how far it is.
            seconds: wall-clock limit: no sweep begins that would end later, judged by the longest before it; there is
                always one. None for no limit.

        Returns:
            A `RangeTestResult`.

        Raises:
            UsageError: for a model, data or bounds that it cannot work with.
        """
        rates = np.geomspace(self.low, self.high, self.steps)
        losses = np.full((self.sweeps, self.steps), np.nan)
        began = sweep_began = time.monotonic()
        longest, made = 0.0, 0
        with random_state_kept():
            batches = take_batches(dataset, y, batch_size, self.steps)
            _build(self.model, batches[0])
            with self._kept() as (kept, control), progress("range test", self.sweeps * self.steps) as done:
                for number in range(self.sweeps):
                    kept.restore()
                    generator = reseed(self.model, self.seed, number)
                    passes = -(-self.steps // len(batches))
                    order = np.concatenate([generator.permutation(len(batches)) for _ in range(passes)])[: self.steps]
                    losses[number] = sweep(self.model, batches, order, control, self.divergence, done)
                    made, now = number + 1, time.monotonic()
                    longest, sweep_began = max(longest, now - sweep_began), now
                    if seconds is not None and now - began + longest > seconds:
                        break
        return judge_sweeps(rates, losses[:made])

    @contextmanager
    def _kept(self) -> Iterator[tuple[KeptState, RateControl]]:
        kept = KeptState(model_variables(self.model))
        control = RateControl(self.model, self.low, self.high, self.steps)
        try:
            control.begin()
            yield kept, control
        finally:
            control.end()
            kept.restore()
            for metric in self.model.metrics:  # those that the first step has made
                if any(variable not in kept for variable in metric.variables):
                    metric.reset_state()


def default_bounds(optimizer: Any) -> tuple[float, float]:
    """The default bounds: 1e-5 to 10 for SGD and its like, 1e-6 to 1 for Adam and its like, 1e-7 to 0.1 for Lion."""
    kinds = leaves(optimizer)
    if any(isinstance(kind, _BY_GRADIENT) for kind in kinds):
        return 1e-5, 10.0
    return (1e-7, 0.1) if any(isinstance(kind, keras.optimizers.Lion) for kind in kinds) else (1e-6, 1.0)


def _build(model: keras.Model, batch: tuple) -> None:
    """Creates all variables, so that they can be kept."""
    if not all(layer.built for layer in all_layers(model)):
        model(batch[0])
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)

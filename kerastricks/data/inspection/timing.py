"""How long the steps of an augmentation take, each a compiled function of its own, and all in one."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks.augment.op import Draws
from kerastricks.augment.plan import Plan, Step
from kerastricks.augment.spatial_step import Store
from kerastricks.data.pipeline import tensorflow_arrays
from kerastricks.data.progress import Progress

ROUNDS = 5

# From (images, labels, draws) to (images, labels).
Function = Callable[[Any, tf.Tensor, Draws], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class TimedBatch:
    """One batch as a plan takes it.

    Args:
        images: (batch, height, width, channels), or a `Store`.
        labels: (batch,) int32, or (batch, classes) float32 where they are mixed.
        draws: with all that a plan may ask for.
    """

    images: Any
    labels: tf.Tensor
    draws: Draws


class Chain:
    """Functions that are executed one after the other, each compiled and timed by itself.

    Args:
        functions: that are to be compiled.
    """

    def __init__(self, functions: Sequence[Function]) -> None:
        self.functions = [tf.function(function, jit_compile=True, autograph=False) for function in functions]

    @classmethod
    def of_steps(cls, plans: Sequence[Plan]) -> "Chain":
        """A function for each step of plans that are executed one after the other."""
        return cls([_executing(plan, [step], integers) for plan, integers in _with_dtype(plans) for step in plan.steps])

    @classmethod
    def of_passes(cls, plans: Sequence[Plan]) -> "Chain":
        """A function for each of their passes, as the host executes them."""
        return cls(
            [_executing(plan, steps, integers) for plan, integers in _with_dtype(plans) for steps in plan.passes]
        )

    def bytes_between(self, batch: TimedBatch, image_shape: Sequence[int]) -> list[int]:
        """What an image takes before the first function and behind each; nothing is compiled for it."""
        images, labels = batch.images, batch.labels
        found = [_bytes_of_image(images, image_shape)]
        for function in self.functions:
            images, labels = function.python_function(images, labels, batch.draws)
            found.append(_bytes_of_image(images, image_shape))
        return found

    def measure(self, batches: Sequence[TimedBatch], seconds: float) -> list[float]:
        """CPU microseconds an image of each function, over all threads, in about that time, one batch at least."""
        spent = np.zeros(len(self.functions))
        images_done, turn, began = 0, 0, time.perf_counter()
        while turn == 0 or time.perf_counter() - began < seconds:
            batch = batches[turn % len(batches)]
            images, labels = batch.images, batch.labels
            for place, function in enumerate(self.functions):
                before = time.process_time()
                images, labels = function(images, labels, batch.draws)
                spent[place] += time.process_time() - before
            images_done += len(batch.labels)
            turn += 1
        return (spent / images_done * 1e6).tolist()


def measure_in_turn(
    chains: Sequence[Chain], batches: Sequence[TimedBatch], seconds: float, progress: Progress
) -> list[np.ndarray]:
    """CPU microseconds an image, (ROUNDS, functions), of each chain. They take turns, so that all see the same
    machine."""
    with progress("compiling", len(chains)) as done:
        for chain in chains:
            chain.measure(batches, 0)
            done(1)
    share = seconds / ROUNDS / len(chains)
    rounds = [[chain.measure(batches, share) for chain in chains] for _ in range(ROUNDS)]
    return [np.array([found[place] for found in rounds]) for place in range(len(chains))]


def _bytes_of_image(images: Any, image_shape: Sequence[int]) -> int:
    kind = images.pixels.dtype if isinstance(images, Store) else images.dtype
    return math.prod(image_shape) * kind.size


def _with_dtype(plans: Sequence[Plan]) -> Iterator[tuple[Plan, bool]]:
    """Each plan, and whether it gets bytes."""
    for place, plan in enumerate(plans):
        yield plan, all(before.keeps_integers for before in plans[:place])


def _executing(plan: Plan, steps: Sequence[Step], integers: bool) -> Function:
    return lambda images, labels, draws: plan.run(steps, images, labels, draws, tensorflow_arrays, integers)

"""Timings of an input pipeline: CPU time of compiled steps on real batches, and throughput of training batches."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks import spec
from kerastricks.augment.op import Draws
from kerastricks.augment.plan import Plan, Step
from kerastricks.augment.spatial_step import Store
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline import tensorflow_arrays
from kerastricks.data.pipeline.stages import StagedOps
from kerastricks.data.sources.source import Arrays
from kerastricks.progress import Progress

ROUNDS = 5
_WARM_UP_BATCHES = 3  # tracing and the first allocations, and what lies ready ahead of the consumer
_WARM_UP_SECONDS = 0.5

# From (images, labels, draws) to (images, labels).
Function = Callable[[Any, tf.Tensor, Draws], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class TimedBatch:
    """One batch as a plan takes it.

    Args:
        images: (batch, height, width, channels), or a `Store`.
        labels: (batch,) int32, or (batch, classes) float32 where they are mixed.
        draws: draws with all that a plan may ask for.
    """

    images: Any
    labels: tf.Tensor
    draws: Draws


class Chain:
    """Functions that are executed one after the other, each compiled and timed by itself.

    Args:
        functions: functions to compile.
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
        """Bytes of an image before the first function and after each; nothing is compiled for it."""
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
            for index, function in enumerate(self.functions):
                before = time.process_time()
                images, labels = function(images, labels, batch.draws)
                spent[index] += time.process_time() - before
            images_done += len(batch.labels)
            turn += 1
        return (spent / images_done * 1e6).tolist()


def measure_in_turn(
    chains: Sequence[Chain], batches: Sequence[TimedBatch], seconds: float, progress: Progress
) -> list[np.ndarray]:
    """Measure CPU microseconds an image, (ROUNDS, functions), of each chain.

    They take turns, so that all see the same machine.
    """
    with progress("compiling", len(chains)) as done:
        for chain in chains:
            chain.measure(batches, 0)
            done(1)
    share = seconds / ROUNDS / len(chains)
    rounds = [[chain.measure(batches, share) for chain in chains] for _ in range(ROUNDS)]
    return [np.array([found[index] for found in rounds]) for index in range(len(chains))]


def _bytes_of_image(images: Any, image_shape: Sequence[int]) -> int:
    kind = images.pixels.dtype if isinstance(images, Store) else images.dtype
    return math.prod(image_shape) * kind.size


def _with_dtype(plans: Sequence[Plan]) -> Iterator[tuple[Plan, bool]]:
    """Each plan, and whether it gets bytes."""
    for index, plan in enumerate(plans):
        yield plan, all(before.keeps_integers for before in plans[:index])


def _executing(plan: Plan, steps: Sequence[Step], integers: bool) -> Function:
    return lambda images, labels, draws: plan.run(steps, images, labels, draws, tensorflow_arrays, integers)


def timed_batches(data: ImageData, plans: Sequence[Plan], count: int) -> list[TimedBatch]:
    """Make batches of training images, where they lie or decoded, with draws of their own.

    Args:
        data: data set whose training images are taken.
        plans: plans that will be executed one after the other; at least one.
        count: number of batches.
    """
    examples = data.splits["train"].examples
    choice = np.random.default_rng(data.seed)
    if isinstance(examples, Arrays):
        images_and_labels = _from_memory(examples, plans[0].takes_store, data.batch_size, choice)
    else:
        images_and_labels = iter(undone(data).train_from(0))
    uniforms = max(1, *(plan.uniforms for plan in plans))
    batches = []
    for images, labels, *_ in itertools.islice(images_and_labels, count):
        if data.augmentation.mixes:
            labels = tf.one_hot(labels, len(data.class_names))
        drawn = tf.constant(choice.random((data.batch_size, uniforms), "float32"))
        batches.append(TimedBatch(images, labels, Draws(drawn, tf.constant(1), tf.range(data.batch_size), labels)))
    return batches


def _from_memory(
    examples: Arrays, stored: bool, batch_size: int, choice: np.random.Generator
) -> Iterator[tuple[Any, ...]]:
    """Images anywhere in the store, as in training."""
    pixels = tf.experimental.dlpack.from_dlpack(examples.store.pixels.__dlpack__())  # the same memory
    while True:
        chosen = choice.choice(len(examples), batch_size, replace=False)
        rows = chosen if examples.rows is None else examples.rows[chosen]
        if stored:
            images: Any = Store(pixels, tf.constant(rows, tf.int32), examples.store.is_wide)
        else:
            images = tf.constant(examples.store.images[rows])
        yield images, tf.constant(examples.labels[chosen], tf.int32)


def undone(data: ImageData) -> ImageData:
    """The data set without any op but the crop of the decoder."""
    old = data.augmentation
    crops = [
        str(op) for op in spec.parse_sequence(old.text) if old.crop is not None and op.name == "random_resized_crop"
    ]
    bare = StagedOps("".join(crops[:1]), old.image_spec, old.seed, "host", old.crops_originals)
    return replace(data, augmentation=bare)


@dataclass(frozen=True)
class Throughput:
    """Throughput of training batches.

    Args:
        images_per_second: by the clock; another program on the same cores slows it down.
        cpu_us_per_image: microseconds of CPU time over all threads of the process; steadier on a busy machine.
        images: number of images that were consumed.
        seconds: duration by the clock, after the warm-up.
    """

    images_per_second: float
    cpu_us_per_image: float
    images: int
    seconds: float

    @classmethod
    def measure(cls, data: ImageData, seconds: float = 3.0) -> "Throughput":
        """Consume augmented training batches for `seconds`, after a warm-up; without the device stage.

        The batches are those of `train_from(0)`: the epochs of `data.train` do not advance.
        """
        with data.one_error():
            batches = iter(data.train_from(0))
            began = time.perf_counter()
            done = 0
            while done < _WARM_UP_BATCHES or time.perf_counter() - began < _WARM_UP_SECONDS:
                next(batches)
                done += 1
            images = 0
            began, cpu_began = time.perf_counter(), time.process_time()
            while images == 0 or time.perf_counter() - began < seconds:
                images += len(next(batches)[1])
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        return cls(images / elapsed, cpu / images * 1e6, images, elapsed)

    def to_text(self) -> str:
        """One line."""
        return (
            f"{_number(self.images_per_second)} images/s, {_number(self.cpu_us_per_image)} us of CPU time an image "
            f"({self.images:,} images in {self.seconds:.1f} s)"
        )

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "images_per_second": round(self.images_per_second, 1),
            "cpu_us_per_image": round(self.cpu_us_per_image, 2),
            "images": self.images,
            "seconds": round(self.seconds, 3),
        }


def _number(value: float) -> str:
    """Three digits are what can be told."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

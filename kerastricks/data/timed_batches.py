"""Batches of real images and draws, as the first step of a plan takes them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks import spec
from kerastricks.augment.op import Draws
from kerastricks.augment.plan import Plan
from kerastricks.augment.spatial_step import Store
from kerastricks.data.image_data import ImageData
from kerastricks.data.inspection.timing import TimedBatch
from kerastricks.data.pipeline.stages import Augmentation
from kerastricks.data.sources.source import Arrays


def timed_batches(data: ImageData, plans: Sequence[Plan], count: int) -> list[TimedBatch]:
    """Training images, where they lie or decoded, with draws of their own.

    Args:
        data: whose training images are taken.
        plans: that will be executed one after the other; at least one.
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
    for images, labels in itertools.islice(images_and_labels, count):
        if data.augmentation.mixes:
            labels = tf.one_hot(labels, len(data.class_names))
        drawn = tf.constant(choice.random((data.batch_size, uniforms), "float32"))
        batches.append(TimedBatch(images, labels, Draws(drawn, tf.constant(1), tf.range(data.batch_size))))
    return batches


def _from_memory(
    examples: Arrays, stored: bool, batch_size: int, choice: np.random.Generator
) -> Iterator[tuple[Any, tf.Tensor]]:
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
    """The same without any op but what the decoder does."""
    old = data.augmentation
    crops = [
        str(op) for op in spec.parse_sequence(old.text) if old.crop is not None and op.name == "random_resized_crop"
    ]
    bare = Augmentation("".join(crops[:1]), old.facts, old.seed, "host", old.crops_originals)
    return replace(data, augmentation=bare)

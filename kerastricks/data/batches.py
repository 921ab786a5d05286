"""Batches of a split as tf.data data sets, by counter: any batch of any epoch can be had at once.

The training order is a stateless permutation of (seed, epoch), and the draws of a batch depend on (seed, epoch,
step) alone. So the sequence is the same whatever the parallelism, and can be resumed at any step without
replaying what came before.
"""

import copy
import itertools
import os
from collections.abc import Callable

import tensorflow as tf

from kerastricks.data.augment import Augmentation
from kerastricks.data.decode import decode_image, fit_image
from kerastricks.data.folder import FolderReader
from kerastricks.data.pixels import read_contents
from kerastricks.data.source import Arrays, Examples

PARALLEL_CALLS = os.cpu_count() or 1

# From indices (n,) to images (n, height, width, channels) uint8.
Gather = Callable[[tf.Tensor], tf.Tensor]


class Batches:
    """Serves one split.

    Args:
        examples: decoded arrays, or files that are decoded each time they are used.
        image_shape: (height, width, channels).
        batch_size: of the batches; a training batch is never smaller, the last one of an evaluation may be.
        seed: of order and draws.
    """

    def __init__(self, examples: Examples, image_shape: tuple[int, int, int], batch_size: int, seed: int) -> None:
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.seed = seed
        self.size = len(examples)
        self.examples = examples
        self.images: tf.Tensor | None = None
        with tf.device("CPU:0"):  # where tf.data gathers, also if there is a GPU
            self.labels = tf.constant(examples.labels, tf.int32)
            if isinstance(examples, Arrays):
                # An argument of the gather and not a constant of its graph; NumPy looks at the same memory.
                self.images = tf.constant(examples.images)
                self.examples = Arrays(self.images.numpy(), examples.labels)

    def reseeded(self, seed: int) -> "Batches":
        """The same images in another order, with other draws; the pixels are shared."""
        other = copy.copy(self)
        other.seed = seed
        return other

    @property
    def steps_per_epoch(self) -> int:
        """Training batches in an epoch; the remainder is left out, another one each epoch."""
        return self.size // self.batch_size

    def evaluation(self) -> tf.data.Dataset:
        """All images in order: (uint8 images, int32 labels); the last batch holds the remainder."""
        steps = -(-self.size // self.batch_size)
        starts = tf.data.Dataset.range(steps)

        def indices(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start = step * self.batch_size
            return tf.range(start, tf.minimum(start + self.batch_size, self.size)), tf.stack([0, step])

        dataset = self._batches(starts.map(indices), batch=None).map(lambda images, labels, position: (images, labels))
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        return dataset.prefetch(2).with_options(_options())

    def training(self, augmentation: Augmentation) -> tf.data.Dataset:
        """One epoch an iteration: iteration e gives the batches of epoch e."""
        counter = itertools.count()
        # A generator is started anew by each iteration; Dataset.random would depend on TensorFlow's global seed.
        epochs = tf.data.Dataset.from_generator(
            lambda: iter([next(counter)]), output_signature=tf.TensorSpec([], tf.int64)
        )
        steps = epochs.flat_map(
            lambda epoch: tf.data.Dataset.range(self.steps_per_epoch).map(lambda step: (epoch, step))
        )
        dataset = self._augmented(steps, augmentation)
        return dataset.apply(tf.data.experimental.assert_cardinality(self.steps_per_epoch))

    def training_from(self, augmentation: Augmentation, first_step: int) -> tf.data.Dataset:
        """Endless training batches from a global step on: epoch e begins at step e * steps_per_epoch."""
        counter = tf.data.Dataset.counter(first_step)
        steps = counter.map(lambda step: (step // self.steps_per_epoch, step % self.steps_per_epoch))
        return self._augmented(steps, augmentation)

    def _augmented(self, steps: tf.data.Dataset, augmentation: Augmentation) -> tf.data.Dataset:
        base = tf.constant([self.seed, 0x7261], tf.int64)  # apart from every other use of the seed

        def draw(images: tf.Tensor, labels: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            seed = tf.random.experimental.stateless_fold_in(base, position[0])
            return augmentation.on_host(images, tf.random.experimental.stateless_fold_in(seed, position[1])), labels

        batches = self._batches(steps.map(self._shuffled), batch=self.batch_size)
        dataset = batches.map(draw, num_parallel_calls=PARALLEL_CALLS)
        return dataset.prefetch(2).with_options(_options())

    def _shuffled(self, epoch: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The indices of one batch, a slice of the epoch's permutation made in O(batch), and its position."""
        positions = step * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        return tf.random.experimental.index_shuffle(positions, seed, self.size - 1), tf.stack([epoch, step])

    def _batches(self, indices: tf.data.Dataset, batch: int | None) -> tf.data.Dataset:
        """From (indices, position) to (images, labels, position)."""
        shape = (batch, *self.image_shape)
        if self.images is not None:
            images = self.images

            def gather(chosen: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
                return tf.ensure_shape(tf.gather(images, chosen), shape), tf.gather(self.labels, chosen), position

            return indices.map(gather, num_parallel_calls=PARALLEL_CALLS)

        contents_of = self._contents()

        def read(chosen: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            labels = tf.gather(self.labels, chosen)
            return contents_of(chosen), labels, tf.repeat(position[None], tf.size(chosen), axis=0)

        def decode(contents: tf.Tensor, *others: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return fit_image(decode_image(contents), *self.image_shape), *others

        return (
            indices.map(read)
            .prefetch(2)
            .unbatch()
            .map(decode, num_parallel_calls=PARALLEL_CALLS, deterministic=True)
            .batch(self.batch_size, drop_remainder=batch is not None)
            .map(lambda images, labels, positions: (images, labels, positions[0]))
        )

    def _contents(self) -> Gather:
        files = self.examples
        assert not isinstance(files, Arrays)
        if not isinstance(files.reader, FolderReader):
            return read_contents(files)
        # Files of a folder are read without Python.
        paths = tf.constant([os.fsencode(files.reader.path / name) for name in files.names])
        return lambda indices: tf.map_fn(
            tf.io.read_file, tf.gather(paths, indices), fn_output_signature=tf.string, parallel_iterations=16
        )


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Ending an iterator waits for the autotuner's thread, which sleeps: up to half a minute an epoch was measured.
    options.autotune.enabled = False
    return options

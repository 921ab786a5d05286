"""Batches of a split as tf.data data sets, by counter: any batch of any epoch is directly accessible.

The training order is a stateless permutation of (seed, epoch), and the draws of a batch depend on (seed, epoch,
step) only. So the sequence is the same whatever the parallelism, and can be resumed at any step without
replaying what came before.
"""

import copy
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import tensorflow as tf

from kerastricks.augment.op import Draws
from kerastricks.augment.spatial_step import Store
from kerastricks.data.decoding.decode import decode_image, fit_image
from kerastricks.data.decoding.decode_crop import decode_crop
from kerastricks.data.decoding.decoded_cache import Decoded
from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.data.pipeline.image_weights import ImageWeights
from kerastricks.data.pipeline.sampling import ClassSampler
from kerastricks.data.pipeline.stages import COMPILE_FROM, StagedOps, draw_uniforms
from kerastricks.data.service.service import Service
from kerastricks.data.sources.contents import read_contents, read_in_graph
from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.source import Arrays, Examples, Files
from kerastricks.errors import DataError, ServiceLostError

PARALLEL_CALLS = os.cpu_count() or 1


class Batches:
    """Batches of one split.

    Args:
        examples: decoded arrays, or files that are decoded each time they are used.
        image_shape: (height, width, channels).
        batch_size: images in a batch; a training batch is never smaller, the last one of an evaluation may be.
        seed: seed of order and draws.
        decoded: the files' pixels at their own sizes, where they are at hand.
        service: data service whose workers make the training batches, or None.
        fitting: how whole images are brought to the shape.

    Attributes:
        sampler: draws the training images by class; None for each once an epoch.
        class_weights: of the images' classes in the loss of a training, from an epoch on; None for equal ones.
    """

    def __init__(
        self,
        examples: Examples,
        image_shape: tuple[int, int, int],
        batch_size: int,
        seed: int,
        decoded: Decoded | None = None,
        service: Service | None = None,
        fitting: Fitting = WHOLE,
    ) -> None:
        self.sampler: ClassSampler | None = None
        self.class_weights: tuple[np.ndarray, int] | None = None
        self.fitting = fitting
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.seed = seed
        self.size = len(examples)
        self.examples = examples
        self.decoded = decoded
        self.service = service
        with tf.device("CPU:0"):  # where tf.data gathers, also if there is a GPU
            self.labels = tf.constant(examples.labels, tf.int32)
            if isinstance(examples, Arrays):
                # Memory shared with NumPy; an argument of the gather, not a constant of its graph.
                self._pixels = _as_tensor(examples.store.pixels)
                self._images = _as_tensor(examples.store.images)
                self._rows = None if examples.rows is None else tf.constant(examples.rows, tf.int32)

    @property
    def is_weighted(self) -> bool:
        """Whether the images of a training have weights in its loss, their own or those of their classes."""
        return self.examples.weights is not None or self.class_weights is not None

    @cached_property
    def image_weights(self) -> ImageWeights | None:
        """Weights of the images in the loss of a training; None for equal ones.

        Raises:
            DataError: where all are 0.
        """
        if not self.is_weighted:
            return None
        return ImageWeights(self.examples.labels, self.examples.weights, self.class_weights)

    @property
    def weights(self) -> tf.Tensor | None:
        """(size,) float32 of mean 1; None for equal ones."""
        return None if self.image_weights is None else self.image_weights.values

    def balanced(self, sampler: ClassSampler | None, class_weights: tuple[np.ndarray, int] | None) -> "Batches":
        """These batches with a sampler and weights of classes; the pixels are shared."""
        other = copy.copy(self)
        for made in ("image_weights", "_sampled"):
            vars(other).pop(made, None)
        other.sampler, other.class_weights = sampler, class_weights
        return other

    def reseeded(self, seed: int) -> "Batches":
        """Copies these batches with another order and other draws; the pixels are shared."""
        other = copy.copy(self)
        vars(other).pop("_sampled", None)
        other.seed = seed
        return other

    def taken(self, chosen: np.ndarray) -> "Batches":
        """Batches of some of the images, by their indices and in that order, without a data service."""
        decoded = None if self.decoded is None else self.decoded.take(chosen)
        size = min(self.batch_size, len(chosen))
        return Batches(self.examples.take(chosen), self.image_shape, size, self.seed, decoded, None, self.fitting)

    @property
    def steps_per_epoch(self) -> int:
        """Training batches in an epoch; the remainder, a different one each epoch, is dropped."""
        return self.size // self.batch_size

    def evaluation(self) -> tf.data.Dataset:
        """All images in order: (uint8 images, int32 labels); the last batch holds the remainder."""
        steps = -(-self.size // self.batch_size)

        def indices(step: tf.Tensor) -> tf.Tensor:
            start = tf.cast(step, tf.int32) * self.batch_size
            return tf.range(start, tf.minimum(start + self.batch_size, self.size))

        def gather(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images = tf.gather(self._images, self._row(chosen))
            return tf.ensure_shape(images, (None, *self.image_shape)), tf.gather(self.labels, chosen)

        dataset = tf.data.Dataset.range(steps).map(_plain(indices))
        if isinstance(self.examples, Arrays):
            dataset = dataset.map(_plain(gather), num_parallel_calls=PARALLEL_CALLS)
        else:
            dataset = self._contents(dataset.map(_plain(lambda chosen: (chosen, tf.gather(self.labels, chosen)))))
            dataset = dataset.map(
                _plain(
                    lambda contents, label: (fit_image(decode_image(contents), *self.image_shape, self.fitting), label)
                ),
                num_parallel_calls=PARALLEL_CALLS,
            ).batch(self.batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        return dataset.prefetch(2).with_options(_options())

    @contextmanager
    def one_error(self) -> Iterator[None]:
        """Raise an error that names the missing file, where TensorFlow's does not.

        Raises:
            DataError: for a file that is gone, cut or another one since it was looked at.
        """
        try:
            yield
        except (tf.errors.OpError, ServiceLostError) as error:
            if isinstance(self.examples, Files) and not isinstance(error, tf.errors.ResourceExhaustedError):
                try:
                    self.examples.refuse_changed()
                except DataError as named:
                    raise named from None
            raise

    def each(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """The batches of `evaluation`, for a loop; an error names the file that was lost.

        Raises:
            DataError: for a file that is gone, cut or another one since it was looked at.
        """
        with self.one_error():
            yield from self.evaluation()

    def training(self, augmentation: StagedOps) -> tf.data.Dataset:
        """One epoch per iteration: iteration e gives the batches of epoch e."""
        if self.service is not None:
            dataset = self.service.epochs(lambda steps: self._at(steps, augmentation), self.steps_per_epoch)
            return dataset.with_options(_options())
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

    def training_from(self, augmentation: StagedOps, first_step: int, indices: bool = False) -> tf.data.Dataset:
        """Endless training batches from a global step on: epoch e begins at step e * steps_per_epoch.

        Args:
            augmentation: augmentation of the images.
            first_step: first global step, counted over all epochs.
            indices: whether to give indices into the store, (batch,) int32, for images: for a store on the device.
        """
        if self.service is not None:
            dataset = self.service.endless(lambda steps: self._at(steps, augmentation), first_step)
            return dataset.with_options(_options())
        counter = tf.data.Dataset.counter(first_step)
        if indices:

            def at(epoch: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
                index = self._ordered(epoch, step)
                targets = self._targets(index, epoch, augmentation)
                return self._weighed(self._row(index), targets, index, epoch, augmentation)

            dataset = self._positions(counter).map(_plain(at), num_parallel_calls=PARALLEL_CALLS)
            return dataset.prefetch(2).with_options(_options())
        return self._at(counter, augmentation)

    def _positions(self, counter: tf.data.Dataset) -> tf.data.Dataset:
        """From global steps to (epoch, step)."""
        return counter.map(_plain(lambda step: (step // self.steps_per_epoch, step % self.steps_per_epoch)))

    def _at(self, counter: tf.data.Dataset, augmentation: StagedOps) -> tf.data.Dataset:
        """The training batches of global steps."""
        return self._augmented(self._positions(counter), augmentation)

    def _augmented(self, steps: tf.data.Dataset, augmentation: StagedOps) -> tf.data.Dataset:
        """From (epoch, step) to augmented batches."""
        if isinstance(self.examples, Arrays):
            dataset = steps.map(
                _plain(lambda epoch, step: self._from_memory(augmentation, epoch, step)),
                num_parallel_calls=self._parallel_calls,
            )
        else:
            dataset = self._from_files(augmentation, steps)
        return dataset.prefetch(2).with_options(_options())

    def _from_memory(self, augmentation: StagedOps, epoch: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        chosen = self._ordered(epoch, step)
        rows = self._row(chosen)
        if augmentation.host_plan.takes_store:
            assert isinstance(self.examples, Arrays)
            images = Store(self._pixels, rows, self.examples.store.is_wide)
        else:
            images = tf.ensure_shape(tf.gather(self._images, rows), (self.batch_size, *self.image_shape))
        draws = self._draws(self._uniforms(augmentation, epoch, step), epoch, chosen, augmentation)
        targets = self._targets(chosen, epoch, augmentation)
        images, labels = augmentation.host_stage(images, targets, draws, self._compiled)
        return self._weighed(images, labels, chosen, epoch, augmentation)

    def _draws(self, uniforms: tf.Tensor, epoch: tf.Tensor, chosen: tf.Tensor, augmentation: StagedOps) -> Draws:
        labels = tf.gather(self.labels, chosen) if augmentation.host_plan.needs_place else None
        return Draws(uniforms, tf.cast(epoch, tf.int32), chosen, labels)

    def _targets(self, chosen: tf.Tensor, epoch: tf.Tensor, augmentation: StagedOps) -> tf.Tensor:
        """Labels of images, with their weights in them where both will be mixed."""
        labels, weights = tf.gather(self.labels, chosen), self.image_weights
        return labels if weights is None else weights.targets(labels, weights.at(chosen, epoch), augmentation)

    def _weighed(
        self, images: tf.Tensor, labels: tf.Tensor, chosen: tf.Tensor, epoch: tf.Tensor, augmentation: StagedOps
    ) -> tuple[tf.Tensor, ...]:
        """A batch with the weights as its third part, unless there are none or they are still in its labels."""
        weights = self.image_weights
        if weights is None:
            return images, labels
        return weights.batch(images, labels, weights.at(chosen, epoch), augmentation)

    def _from_files(self, augmentation: StagedOps, steps: tf.data.Dataset) -> tf.data.Dataset:
        """Each file is read and decoded by itself; whole batches are augmented."""
        height, width, channels = self.image_shape
        crops = augmentation.crop is not None
        files = self.examples
        assert not isinstance(files, Arrays)
        sizes = tf.constant(files.sizes, tf.int32) if crops else None
        upright = _one_or_each(files.upright_jpeg)

        def choose(epoch: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            chosen = self._ordered(epoch, step)
            windows = tf.zeros_like(chosen)
            if crops:
                # For the whole batch at once: a few dozen small functions a file would cost a fifth of its decoding.
                windows = augmentation.windows(self._uniforms(augmentation, epoch, step), tf.gather(sizes, chosen))
            positions = tf.repeat(tf.stack([epoch, step])[None], self.batch_size, axis=0)
            return chosen, windows, self._targets(chosen, epoch, augmentation), chosen, positions

        def decode(source: tf.Tensor, window: tf.Tensor, *others: tf.Tensor) -> tuple[tf.Tensor, ...]:
            if not crops:
                return fit_image(decode_image(source), height, width, channels, self.fitting), *others
            if self.decoded is not None:
                return self.decoded.crop(source, lambda *size: window, height, width, rounded=True), *others
            known = upright if isinstance(upright, bool | None) else tf.gather(upright, others[1])
            image = decode_crop(source, lambda *size: window, height, width, channels, known, rounded=True)
            return image, *others

        def augment(
            images: tf.Tensor, labels: tf.Tensor, index: tf.Tensor, positions: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            epoch, step = tf.unstack(positions[0])
            uniforms = self._uniforms(augmentation, epoch, step)[:, augmentation.crop_uniforms :]
            draws = self._draws(uniforms, epoch, index, augmentation)
            images, labels = augmentation.host_stage(images, labels, draws, self._compiled)
            return self._weighed(images, labels, index, epoch, augmentation)

        dataset = steps.map(_plain(choose))
        dataset = dataset.unbatch() if crops and self.decoded is not None else self._contents(dataset)
        return (
            dataset.map(_plain(decode), num_parallel_calls=self._parallel_calls)
            .batch(self.batch_size, drop_remainder=True)
            .map(_plain(augment), num_parallel_calls=self._parallel_calls)
        )

    @property
    def _parallel_calls(self) -> int:
        """The number of cores; on a worker of a data service tf.data counts its own, up to 16."""
        return PARALLEL_CALLS if self.service is None else tf.data.AUTOTUNE

    @property
    def _compiled(self) -> bool:
        height, width, channels = self.image_shape
        return self.size * height * width * channels >= COMPILE_FROM

    @cached_property
    def _sampled(self) -> Callable:
        assert self.sampler is not None
        return self.sampler.indices(self.seed, self.batch_size, self.steps_per_epoch)

    def _ordered(self, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The indices of one batch."""
        if self.sampler is None:
            return self._shuffled(epoch, step)
        if self.sampler.starts_at == 0:
            return self._sampled(epoch, step)
        late = epoch >= self.sampler.starts_at
        return tf.where(late, self._sampled(epoch, step), self._shuffled(epoch, step))

    def _shuffled(self, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The indices of one batch: a slice of the epoch's permutation, made in O(batch)."""
        positions = step * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        return tf.cast(tf.random.experimental.index_shuffle(positions, seed, self.size - 1), tf.int32)

    def _uniforms(self, augmentation: StagedOps, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        return draw_uniforms(self.seed, epoch, step, self.batch_size, augmentation.uniforms)

    def _row(self, chosen: tf.Tensor) -> tf.Tensor:
        return chosen if self._rows is None else tf.gather(self._rows, chosen)

    def _contents(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """From batches (indices, ...) to single (bytes of the file, ...)."""
        files = self.examples
        assert not isinstance(files, Arrays)
        if self.service is not None or isinstance(files.reader, FolderReader):
            read_one = read_in_graph(files)
            return dataset.unbatch().map(
                lambda index, *others: (read_one(index), *others), num_parallel_calls=self._parallel_calls
            )
        contents_of = read_contents(files)
        return dataset.map(lambda indices, *others: (contents_of(indices), *others)).prefetch(2).unbatch()


def _plain(function: Callable) -> Callable:
    """A function for `map` that TensorFlow need not rewrite: none here has Python's `if` or `for` over tensors.

    Rewriting it, and all that it calls, took half of the time until the first batch.
    """
    return tf.autograph.experimental.do_not_convert(function)


def _one_or_each(flags: np.ndarray | None) -> bool | tf.Tensor | None:
    """The one flag where all are equal, else a tensor of all; None where they are not known."""
    if flags is None:
        return None
    return bool(flags[0]) if (flags == flags[0]).all() else tf.constant(flags)


def _as_tensor(array: object) -> tf.Tensor:
    """View an array as a tensor, in the same memory."""
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())  # type: ignore[attr-defined]


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Ending an iterator waits for the autotuner's thread, which sleeps: up to half a minute an epoch was measured.
    options.autotune.enabled = False
    # Their rewriting of the graph copies every tensor of less than 2 GB that it holds: all of the pixels.
    options.experimental_optimization.apply_default_optimizations = False
    return options

"""Class-balanced orders of training images: which image stands at each position of each epoch.

As the plain order, they are functions of (seed, epoch, step): any batch is directly accessible, and a resumed training
draws the same images. Within a class each image is drawn as often as any other: rounds through the class in a shuffled
order, each begun at another image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.imbalance.remedies import Sampling, switch_epoch
from kerastricks.imbalance.weighting import check_images

_GOLDEN = (5**0.5 - 1) / 2  # its multiples fill [0, 1) evenly
_IN_EPOCH, _IN_BATCH = (word << 32 for word in (0x65706F, 0x626174))  # uses of one seed
_IN_CLASS = 0x636C73
_STEP = 0x9E3779B1  # a large odd number, so that rounds begin anywhere


class ClassSampler:
    """Draws training images by class.

    Args:
        sampling: how often each class is drawn; not "downsample", which is `ImageData.downsampled`.
        labels: (N,) integers.
        class_names: of the labels; each has an image.
        epochs: of the training, for what begins late or grows over them.

    Attributes:
        starts_at: first epoch, from 0, that is sampled by class; before it the order is the plain one.

    Raises:
        ConfigError: for a class without an image, or shares that do not name all classes.
    """

    def __init__(self, sampling: Sampling, labels: np.ndarray, class_names: Sequence[str], epochs: int) -> None:
        counts = np.bincount(labels, minlength=len(class_names))
        check_images(counts, class_names)
        self.sampling = sampling
        self.starts_at = switch_epoch(sampling.start, epochs)
        self.epochs = epochs
        self.counts = counts
        self._rates = _rates(sampling, counts, class_names)
        self._labels = labels
        self._first = np.cumsum(counts) - counts

    def images_per_epoch(self, images: int) -> np.ndarray:
        """How many of the images of each epoch are of each class.

        Args:
            images: of an epoch, whole batches.

        Returns:
            (epochs, K) int64; a row has a sum of `images`.
        """
        natural = self.counts / self.counts.sum()
        rows = []
        for epoch in range(self.epochs):
            grown = epoch / max(self.epochs - 1, 1) if self.sampling.kind == "progressive" else 1.0
            rows.append(_whole((1 - grown) * natural + grown * self._rates, images, epoch * _GOLDEN % 1))
        return np.stack(rows)

    def _ordered(self, seed: int) -> np.ndarray:
        """Indices of the images, those of a class together and in an order of its own."""
        shuffled = np.random.default_rng([seed, _IN_CLASS]).permutation(len(self._labels))
        return shuffled[np.argsort(self._labels[shuffled], kind="stable")].astype("int64")

    def indices(self, seed: int, batch_size: int, steps: int) -> Any:
        """A function from int64 tensors (epoch, step) to the indices of a batch, (batch_size,) int32."""
        with tf.init_scope(), tf.device("CPU:0"):  # made once, not in each function that asks for it
            table = tf.constant(self._ordered(seed))
            first, counts = tf.constant(self._first, tf.int64), tf.constant(self.counts, tf.int64)
        classes = len(self.counts)

        def image_of(label: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
            """The image that a class shows at its turn 0, 1, ..."""
            count = tf.gather(counts, label)
            # Each round through a class begins at another image, or those of two classes would meet in every round. A
            # permutation of so few is slow.
            place = (turn + turn // count * (2 * label + 1) * _STEP) % count
            return tf.cast(tf.gather(table, tf.gather(first, label) + place), tf.int32)

        if self.sampling.kind == "class_aware":

            def class_aware(epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
                begun = tf.constant(self.starts_at, tf.int64)
                batch = tf.maximum((epoch - begun) * steps + step, 0)  # before it begins, nobody asks
                seeds = tf.stack([tf.constant(seed + _IN_BATCH, tf.int64), batch])
                # By sorting: index_shuffle, which pays for many images, is slow for a batch of them.
                inside = tf.argsort(tf.random.stateless_uniform([batch_size], seeds), stable=True)
                place = batch * batch_size + tf.cast(inside, tf.int64)
                return image_of(place % classes, place // classes)

            return class_aware

        images = steps * batch_size
        per_epoch = self.images_per_epoch(images)
        with tf.init_scope(), tf.device("CPU:0"):
            ends = tf.constant(np.cumsum(per_epoch, axis=1), tf.int64)
            slots = tf.constant(per_epoch, tf.int64)
            used = tf.constant(np.cumsum(per_epoch, axis=0) - per_epoch, tf.int64)

        def by_rates(epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
            row = tf.minimum(epoch, self.epochs - 1)  # a data set that is iterated on stays as it ended
            place = step * batch_size + tf.range(batch_size, dtype=tf.int64)
            seeds = tf.stack([tf.constant(seed + _IN_EPOCH, tf.int64), epoch])
            place = tf.random.experimental.index_shuffle(place, seeds, images - 1)
            label = tf.searchsorted(ends[row], place, side="right", out_type=tf.int64)
            of_class = tf.gather(slots[row], label)
            turn = tf.gather(used[row], label) + place - (tf.gather(ends[row], label) - of_class)
            return image_of(label, turn + (epoch - row) * of_class)

        return by_rates


def downsampled(labels: np.ndarray, class_names: Sequence[str], ratio: float, seed: int) -> np.ndarray:
    """Indices of a subset in which no class has more than `ratio` times the images of the smallest.

    Args:
        labels: (N,) integers.
        class_names: of the labels.
        ratio: 1 or more; 1 for equally many.
        seed: of the choice.

    Returns:
        (M,) int64, ascending.

    Raises:
        ConfigError: for a class without an image, or a smallest class so small that fewer than two images are left of
            each, or than a tenth of all.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    check_images(counts, class_names)
    most = int(ratio * counts.min())
    kept = np.minimum(counts, most)
    smallest = class_names[int(counts.argmin())]
    if most < 2 or kept.sum() < 0.1 * counts.sum():
        raise ConfigError(
            f"downsample(ratio={ratio:g}) leaves {kept.sum():,} of {counts.sum():,} training images, as class "
            f"{smallest!r} has {counts.min():,}: raise ratio, or take upsample or balanced_softmax, which use all"
        )
    generator = np.random.default_rng([seed, 1 << 20])
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[: kept[label]] for label in range(len(class_names))
    ]
    return np.sort(np.concatenate(chosen))


def _rates(sampling: Sampling, counts: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    if sampling.rates is None:
        powers = counts.astype("float64") ** sampling.power
        return powers / powers.sum()
    return _named(sampling.rates, class_names)


def _named(rates: Mapping[str, float], class_names: Sequence[str]) -> np.ndarray:
    for name in rates:
        if name not in class_names:
            raise UnknownNameError("class of the data", name, class_names)
    missing = [name for name in class_names if name not in rates]
    if missing:
        raise ConfigError(f"class_rates has no share for class {missing[0]!r}: give one, 0 leaves its images out")
    return np.array([rates[name] for name in class_names], "float64") / sum(rates.values())


def _whole(shares: np.ndarray, images: int, offset: float) -> np.ndarray:
    """Whole numbers of a given sum, each the next below or above its share, which it is in the mean over offsets."""
    ends = np.floor(np.cumsum(shares) / shares.sum() * images + offset).astype("int64")
    ends[-1] = images
    return np.diff(ends, prepend=0)

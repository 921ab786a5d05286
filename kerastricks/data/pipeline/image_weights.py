"""Weights of training images in the loss: their own, times those of their classes from an epoch on."""

import numpy as np
import tensorflow as tf

from kerastricks.data.pipeline.stages import StagedOps
from kerastricks.errors import DataError


class ImageWeights:
    """Weights of the images of a training split.

    Args:
        labels: (size,) integers.
        own: (size,) of the images; None for equal ones.
        of_classes: weights of the classes, (K,), and the first epoch, from 0, in which they count; None for equal ones.

    Attributes:
        values: (size,) float32 of mean 1: their own times those of their classes.

    Raises:
        DataError: where all are 0.
    """

    def __init__(
        self, labels: np.ndarray, own: np.ndarray | None, of_classes: tuple[np.ndarray, int] | None = None
    ) -> None:
        alone = np.ones(len(labels)) if own is None else own
        by_class, self._begins = (None, 0) if of_classes is None else of_classes
        self.values = _of_mean_one(alone if by_class is None else alone * by_class[labels])
        self._before = _of_mean_one(alone) if self._begins else self.values

    def at(self, chosen: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """The weights of a batch, (batch,) float32.

        Args:
            chosen: (batch,) indices of its images.
            epoch: scalar, from 0.
        """
        weights = tf.gather(self.values, chosen)
        return tf.where(epoch >= self._begins, weights, tf.gather(self._before, chosen)) if self._begins else weights

    def targets(self, labels: tf.Tensor, weights: tf.Tensor, augmentation: StagedOps) -> tf.Tensor:
        """Labels (batch,); where they will be mixed, (batch, classes) float32 times their weights.

        Mixing is linear in labels: the sum of a mixed label is then the mixed weight, and an image of weight 0 has no
        share in it.
        """
        if not augmentation.mixes:
            return labels
        return tf.one_hot(labels, augmentation.image_spec.class_count, dtype=tf.float32) * weights[:, None]

    def batch(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, augmentation: StagedOps
    ) -> tuple[tf.Tensor, ...]:
        """A batch with the weights as its third part, unless they are still in its labels."""
        if augmentation.mixes_weights:
            return images, labels
        if not augmentation.mixes:
            return images, labels, weights
        weights = tf.reduce_sum(labels, axis=1)
        return images, tf.math.divide_no_nan(labels, weights[:, None]), weights


def _of_mean_one(weights: np.ndarray) -> tf.Tensor:
    """float32 of mean 1, so that the rate of a training means what it means without weights."""
    if not weights.any():
        raise DataError("weights of the training images are all 0: give some a weight")
    with tf.init_scope(), tf.device("CPU:0"):  # first asked for inside a graph, it shall outlive it
        return tf.constant(weights / weights.mean(), tf.float32)

"""Horizontal flip."""

from dataclasses import dataclass

import tensorflow as tf

from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Flip:
    """Mirrors each image left to right with probability `rate`.

    It doubles the data where left and right mean the same, and hurts where they do not (digits, text).

    Args:
        rate: probability per image, in [0, 1].
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise SpecError(f"flip: rate must be in [0, 1]. Received: rate={self.rate}")

    def __call__(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        draws = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed)
        return tf.where(draws < self.rate, tf.reverse(images, [2]), images)

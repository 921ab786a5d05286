"""Random box of random area and aspect ratio, resized back."""

import math
from dataclasses import dataclass

import tensorflow as tf

from kerastricks.errors import SpecError


@dataclass(frozen=True)
class RandomResizedCrop:
    """Cuts a box of random area, shape and place from each image and resizes it to the image's size.

    The augmentation of ImageNet training: the network sees objects at many scales. Too small a `low` cuts the
    object away in small or closely cropped images.

    Args:
        low: smallest area of the box, as a fraction of the image; in (0, 1].
        high: largest area; in [low, 1].
        max_ratio: the aspect ratio is log-uniform in [1 / max_ratio, max_ratio].

    Reference:
        Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 6. Deviation: a box that does not
        fit is trimmed to the image where the usual code draws again.
    """

    low: float = 0.35
    high: float = 1.0
    max_ratio: float = 4 / 3

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high <= 1:
            raise SpecError(f"random_resized_crop: 0 < low <= high <= 1. Received: low={self.low}, high={self.high}")
        if self.max_ratio < 1:
            raise SpecError(f"random_resized_crop: max_ratio must be 1 or more. Received: max_ratio={self.max_ratio}")

    def __call__(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        batch = tf.shape(images)[0]
        _, height, width, _ = images.shape
        area, log_ratio, y, x = tf.unstack(tf.random.stateless_uniform([4, batch], seed))
        area = self.low + (self.high - self.low) * area
        ratio = tf.exp((2 * log_ratio - 1) * math.log(self.max_ratio))
        box_height = tf.minimum(tf.sqrt(area / ratio), 1.0)
        box_width = tf.minimum(tf.sqrt(area * ratio), 1.0)
        top, left = y * (1 - box_height), x * (1 - box_width)
        boxes = tf.stack([top, left, top + box_height, left + box_width], axis=1)
        crops = tf.image.crop_and_resize(images, boxes, tf.range(batch), (height, width))
        crops = tf.cast(tf.clip_by_value(tf.round(crops), 0, 255), images.dtype)
        crops.set_shape(images.shape)
        return crops

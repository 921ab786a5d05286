"""Random shift by whole pixels: pad, then crop back."""

from dataclasses import dataclass

import tensorflow as tf

from kerastricks.errors import SpecError

_TF_MODES = {"zero": "CONSTANT", "reflect": "REFLECT"}


@dataclass(frozen=True)
class PadCrop:
    """Pads each image on all sides and cuts the original size at a place drawn per image.

    Args:
        pixels: of padding on each side; 0 or more, and below the image's side for "reflect".
        mode: "zero" (black) or "reflect" (mirrored without the edge).

    Reference:
        Lee et al.: Deeply-Supervised Nets, AISTATS 2015; He et al., CVPR 2016, section 4.2.
    """

    pixels: int = 4
    mode: str = "zero"

    def __post_init__(self) -> None:
        if not isinstance(self.pixels, int) or self.pixels < 0:
            raise SpecError(f"pad_crop: pixels must be an integer, 0 or more. Received: pixels={self.pixels!r}")
        if self.mode not in _TF_MODES:
            raise SpecError(f"pad_crop: mode must be one of {sorted(_TF_MODES)}. Received: mode={self.mode!r}")

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Raises SpecError where the images are too small to be mirrored."""
        side = min(image_shape[:2])
        if self.mode == "reflect" and self.pixels >= side:
            raise SpecError(f"pad_crop: reflect needs fewer pixels than the side, {side}. Received: {self.pixels}")

    def __call__(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        batch = tf.shape(images)[0]
        _, height, width, channels = images.shape
        border = self.pixels
        padded = tf.pad(images, [(0, 0), (border, border), (border, border), (0, 0)], _TF_MODES[self.mode])
        offsets = tf.random.stateless_uniform([batch, 2], seed, 0, 2 * border + 1, tf.int32)
        # One gather of whole pixels: the index of row y, column x of image b in the flattened batch.
        padded_height, padded_width = height + 2 * border, width + 2 * border
        rows = tf.range(batch)[:, None] * padded_height + offsets[:, :1] + tf.range(height)
        columns = offsets[:, 1:] + tf.range(width)
        indices = rows[:, :, None] * padded_width + columns[:, None, :]
        cropped = tf.gather(tf.reshape(padded, [-1, channels]), indices)
        cropped.set_shape(images.shape)
        return cropped

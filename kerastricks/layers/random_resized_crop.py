"""A random part of each image, resized to one size."""

import math
from numbers import Integral
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from kerastricks.augment.distributions import ATTEMPTS, drawn_box, largest_box
from kerastricks.layers.gather_pixels import gather_pixels


@keras.saving.register_keras_serializable(package="kerastricks")
class RandomResizedCrop(keras.layers.Layer):
    """Cuts a box of random area, aspect and place out of each image and resizes it to `height` x `width`.

    The augmentation of ImageNet training: objects are seen at many scales, places and stretchings. Too small an
    area cuts the object away, in small or closely cropped images soonest: raise the lower bound there.

    Training: per image ten boxes are drawn, the area uniform and the aspect log-uniform; the first that fits into
    the image is put at a uniform place. Where none fits, it is the largest centred box whose aspect is the
    allowed one nearest to the image's. Boxes have whole pixels. Inference: the largest centred box with the
    aspect of the result.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
        area_range: (low, high) of the box's area as a fraction of the image's, in (0, 1].
        aspect_range: (low, high) of the box's width / height, above 0.
        interpolation: "bilinear", which averages where it shrinks (antialiasing, as Pillow does), or "nearest".
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        images: float or integer, (batch, height, width, channels).
        training: whether to draw.

    Returns:
        Float in the layer's compute dtype, (batch, `height`, `width`, channels).

    Raises:
        ValueError: for illegal arguments or another rank.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.RandomResizedCrop(24, 24, area_range=(0.35, 1.0), seed=0)
        >>> layer(numpy.ones((2, 32, 40, 3)), training=True).shape
        TensorShape([2, 24, 24, 3])

    Reference:
        Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 6: area uniform in 8 to 100 %, aspect
        in [3/4, 4/3]. Deviations, as the usual code has them: the aspect is log-uniform, so that 3/4 and 4/3 are
        equally likely, where the paper gives bounds alone; ten attempts; one box at inference, where the paper
        averages 144 windows; one interpolation, where the paper draws it too.
    """

    def __init__(
        self,
        height: int,
        width: int,
        area_range: tuple[float, float] = (0.08, 1.0),
        aspect_range: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: Literal["bilinear", "nearest"] = "bilinear",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, pixels in (("height", height), ("width", width)):
            if isinstance(pixels, bool) or not isinstance(pixels, Integral) or pixels < 1:
                raise ValueError(f"{name} must be an integer, 1 or more. Received: {name}={pixels!r}")
        if np.shape(area_range) != (2,) or not 0 < area_range[0] <= area_range[1] <= 1:
            raise ValueError(f"area_range must be (low, high) within (0, 1]. Received: area_range={area_range}")
        if np.shape(aspect_range) != (2,) or not 0 < aspect_range[0] <= aspect_range[1] < math.inf:
            raise ValueError(f"aspect_range must be (low, high) above 0. Received: aspect_range={aspect_range}")
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(f'interpolation must be "bilinear" or "nearest". Received: {interpolation!r}')
        self.height = int(height)
        self.width = int(width)
        self.area_range = (float(area_range[0]), float(area_range[1]))
        self.aspect_range = (float(aspect_range[0]), float(aspect_range[1]))
        self.interpolation = interpolation
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def draw(self, batch: Any, height: Any, width: Any) -> Any:
        """Draws boxes for `batch` images of `height` x `width`: see `boxes`."""
        attempts = keras.random.uniform((batch, ATTEMPTS, 2), dtype="float32", seed=self.seed_generator)
        places = keras.random.uniform((batch, 2), dtype="float32", seed=self.seed_generator)
        return self.boxes(attempts, places, height, width)

    def boxes(self, attempts: Any, places: Any, height: Any, width: Any) -> Any:
        """The boxes of given draws, all uniform in [0, 1).

        Args:
            attempts: (batch, n, 2): of area and aspect, for each attempt.
            places: (batch, 2): of the box's row and column.
            height: of the images.
            width: of the images.

        Returns:
            float32 of whole numbers, (batch, 4): top, left, height, width in pixels.
        """
        box = drawn_box(attempts, places, height, width, self.area_range, self.aspect_range, ops)
        return ops.stack(box, axis=1)

    def crop(self, images: Any, boxes: Any) -> Any:
        """Cuts given boxes (batch, 4), as `boxes` returns them, and resizes each to `height` x `width`."""
        rows, columns = ops.shape(images)[1:3]
        boxes = ops.cast(boxes, "float32")
        top, left, heights, widths = (boxes[:, i : i + 1] for i in range(4))
        if self.interpolation == "nearest":
            y, x = _centres(top, heights, self.height), _centres(left, widths, self.width)
            pixels = gather_pixels(images, ops.cast(ops.floor(y), "int32"), ops.cast(ops.floor(x), "int32"))
            return ops.cast(pixels, self.compute_dtype)
        # Two small matrices per image. With the channels before the rows the products are plain and batched, which
        # every backend does fast; the gathers that bilinear sampling would take cannot average where it shrinks.
        # A GPU that rounds factors to TF32 (TensorFlow's and JAX's default) is off by at most 0.4 of 255.
        planes = ops.transpose(ops.cast(images, "float32"), (0, 3, 1, 2))
        from_rows = _weights(top, heights, rows, self.height)[:, None]
        from_columns = _weights(left, widths, columns, self.width)[:, None]
        resized = ops.matmul(ops.matmul(from_rows, planes), ops.transpose(from_columns, (0, 1, 3, 2)))
        return ops.cast(ops.transpose(resized, (0, 2, 3, 1)), self.compute_dtype)

    def call(self, images: Any, training: bool = False) -> Any:
        self._check(images.shape)
        batch, height, width = ops.shape(images)[:3]
        if training:
            return self.crop(images, self.draw(batch, height, width))
        if tuple(images.shape)[1:3] == (self.height, self.width):
            return ops.cast(images, self.compute_dtype)
        rows, columns = ops.cast(height, "float32"), ops.cast(width, "float32")
        box_height, box_width = largest_box(rows, columns, self.width / self.height, ops)
        box = [ops.floor((rows - box_height) / 2), ops.floor((columns - box_width) / 2), box_height, box_width]
        return self.crop(images, ops.tile(ops.stack(box)[None], (batch, 1)))

    def _check(self, shape: Any) -> None:
        if len(shape) != 4:
            raise ValueError(
                "RandomResizedCrop needs images (batch, height, width, channels). "
                f"Received: shape {tuple(shape)}; make batches"
            )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self._check(input_shape)
        return (input_shape[0], self.height, self.width, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        names = ("height", "width", "area_range", "aspect_range", "interpolation", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _centres(start: Any, size: Any, out: int) -> Any:
    """(batch, out): where the centres of `out` new pixels lie, in old pixels from the image's edge."""
    return start + (ops.arange(out, dtype="float32") + 0.5) * (size / out)


def _weights(start: Any, size: Any, side: Any, out: int) -> Any:
    """(batch, out, side): the share of each old pixel of a line in each new one; a row sums to 1.

    A triangle about the new pixel's centre, one old pixel wide on each side, or one new pixel where that is more.
    Pixels outside the box have no share.
    """
    pixels = ops.arange(side, dtype="float32") + 0.5
    distance = ops.abs(pixels - _centres(start, size, out)[:, :, None])
    triangle = ops.maximum(0.0, 1.0 - distance / ops.maximum(size / out, 1.0)[:, :, None])
    inside = ops.logical_and(pixels > start, pixels < start + size)[:, None, :]
    shares = ops.where(inside, triangle, 0.0)
    return shares / ops.sum(shares, axis=2, keepdims=True)

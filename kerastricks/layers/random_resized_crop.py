"""Random resized crop, to one size."""

import math
from numbers import Integral
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from kerastricks.augment.distributions import centred_box, resize_boxes
from kerastricks.augment.ops.crops import BOX, NearestBox
from kerastricks.augment.ops.crops import RandomResizedCrop as RandomResizedCropOp
from kerastricks.augment.spatial_step import SpatialStep
from kerastricks.layers.op_layer import OpLayer, check_batch


@keras.saving.register_keras_serializable(package="kerastricks")
class RandomResizedCrop(OpLayer):
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
        equally likely, where the paper gives only bounds; ten attempts; one box at inference, where the paper
        averages 144 windows; one interpolation, where the paper draws it too.
    """

    arguments = ("height", "width", "area_range", "aspect_range", "interpolation")

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
        super().__init__(seed, **kwargs)
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

    def draw(self, batch: Any, height: Any, width: Any) -> Any:
        """Draws boxes for `batch` images of `height` x `width`: see `boxes`."""
        parameters = self.draw_parameters(self._op.knowing(height=height, width=width), batch)
        return ops.stack([parameters[name] for name in BOX], axis=1)

    def boxes(self, attempts: Any, places: Any, height: Any, width: Any) -> Any:
        """The boxes of given draws, all uniform in [0, 1).

        Args:
            attempts: (batch, 10, 2): of area and aspect, for each attempt.
            places: (batch, 2): of the box's row and column.
            height: of the images.
            width: of the images.

        Returns:
            float32 of whole numbers, (batch, 4): top, left, height, width in pixels.
        """
        return ops.stack(self._op.window({"attempts": attempts, "places": places}, height, width, ops), axis=1)

    def crop(self, images: Any, boxes: Any) -> Any:
        """Cuts given boxes (batch, 4), as `boxes` returns them, and resizes each to `height` x `width`."""
        boxes, size = ops.cast(boxes, "float32"), (self.height, self.width)
        if self.interpolation == "nearest":
            step = SpatialStep([NearestBox(*size)], ops.shape(images)[1:], size)
            parameters = {name: boxes[:, column] for column, name in enumerate(BOX)}
            return ops.cast(step(images, [parameters], ops), self.compute_dtype)
        return ops.cast(resize_boxes(images, boxes, size, ops), self.compute_dtype)

    def call(self, images: Any, training: bool = False) -> Any:
        check_batch(images.shape, "RandomResizedCrop")
        batch, height, width = ops.shape(images)[:3]
        if training:
            return self.crop(images, self.draw(batch, height, width))
        if tuple(images.shape)[1:3] == (self.height, self.width):
            return ops.cast(images, self.compute_dtype)
        box = ops.stack(centred_box(height, width, self.width / self.height, ops))
        return self.crop(images, ops.tile(box[None], (batch, 1)))

    @property
    def _op(self) -> RandomResizedCropOp:
        return RandomResizedCropOp(*self.area_range).knowing(aspect_range=self.aspect_range)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        check_batch(input_shape, "RandomResizedCrop")
        return (input_shape[0], self.height, self.width, input_shape[3])

"""Random crop, at a position of its own for each image."""

from numbers import Integral
from typing import Any, Literal

import keras
from keras import ops

from kerastricks.augment.op import Parameters
from kerastricks.augment.ops.crops import PadCrop
from kerastricks.augment.spatial_step import SpatialStep
from kerastricks.layers.op_layer import OpLayer, check_batch

MODES = {"constant": "zero", "reflect": "reflect", "edge": "edge"}  # as the layer and as the op names them


@keras.saving.register_keras_serializable(package="kerastricks")
class RandomCrop(OpLayer):
    """Cuts a window of `height` x `width` pixels out of each padded image, at a place drawn per image.

    The network sees objects at shifted places: with `RandomCrop(32, 32, padding=4)` the standard augmentation of
    CIFAR. It hurts where the window can miss the object or where the place tells the class. Training: the place is
    uniform over all that fit, rows and columns on their own. Inference: the centre window, which uses the padding
    only where the image is smaller than the window.

    Args:
        height: of the window, in pixels; at most the padded image's.
        width: of the window, in pixels; at most the padded image's.
        padding: pixels added on each side; 0 or more, and below the image's sides for "reflect".
        padding_mode: what they hold: "constant" (`fill_value`), "reflect" (mirrored without the edge) or "edge"
            (the edge repeated).
        fill_value: of "constant", in the pixels' unit.
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        images: float or integer, (batch, height, width, channels).
        training: whether to draw.

    Returns:
        Float in the layer's compute dtype, (batch, `height`, `width`, channels).

    Raises:
        ValueError: for illegal arguments, another rank, a window larger than the padded image, or "reflect" with
            padding that is not below the image's sides. Where a TensorFlow graph does not know the images' size
            when it is traced, such images become NaN.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.RandomCrop(32, 32, padding=4, seed=0)
        >>> layer(numpy.ones((2, 32, 32, 3)), training=True).shape
        TensorShape([2, 32, 32, 3])

    Reference:
        Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
        NeurIPS 2012, section 4.1 (random windows); Lee et al.: Deeply-Supervised Nets, AISTATS 2015, section 4 (four
        pixels of padding on CIFAR). Deviation: one centre window at inference, where Krizhevsky averages ten.
    """

    arguments = ("height", "width", "padding", "padding_mode", "fill_value")

    def __init__(
        self,
        height: int,
        width: int,
        padding: int = 0,
        padding_mode: Literal["constant", "reflect", "edge"] = "constant",
        fill_value: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        for name, pixels, least in (("height", height, 1), ("width", width, 1), ("padding", padding, 0)):
            if isinstance(pixels, bool) or not isinstance(pixels, Integral) or pixels < least:
                raise ValueError(f"{name} must be an integer, {least} or more. Received: {name}={pixels!r}")
        if padding_mode not in MODES:
            raise ValueError(f"padding_mode must be one of {tuple(MODES)}. Received: padding_mode={padding_mode!r}")
        self.height = int(height)
        self.width = int(width)
        self.padding = int(padding)
        self.padding_mode = padding_mode
        self.fill_value = float(fill_value)

    def crop(self, images: Any, offsets: Any) -> Any:
        """Cuts the windows at given places.

        Args:
            images: as the layer takes them.
            offsets: integers (batch, 2): first row and column in the padded image.
        """
        offsets = ops.cast(offsets, "int32") - self.padding
        return self._cut(images, {"down": offsets[:, 0], "right": offsets[:, 1]})

    def call(self, images: Any, training: bool = False) -> Any:
        self._check(images.shape)
        batch, height, width = ops.shape(images)[:3]
        if tuple(images.shape)[1:3] == (self.height, self.width) and not (training and self.padding):
            return ops.cast(images, self.compute_dtype)
        slack = height - self.height, width - self.width
        if training:
            return self._cut(images, self.draw_parameters(self._op.knowing(slack=slack), batch))
        down, right = (ops.tile(ops.reshape(ops.cast(room // 2, "int32"), (1,)), (batch,)) for room in slack)
        return self._cut(images, {"down": down, "right": right})

    @property
    def _op(self) -> PadCrop:
        return PadCrop(self.padding, MODES[self.padding_mode])

    def _cut(self, images: Any, parameters: Parameters) -> Any:
        self._check(images.shape)
        if self.padding and self.padding_mode == "constant" and self.fill_value:
            images = ops.cast(images, self.compute_dtype)  # integers may have no room for the value
        _, *sides, channels = ops.shape(images)
        step = SpatialStep([self._op], (*sides, channels), (self.height, self.width), self.fill_value)
        cropped = ops.cast(step(images, [parameters], ops), self.compute_dtype)
        if None in tuple(images.shape)[1:3]:
            cropped = ops.where(self._fits(sides), cropped, ops.cast(float("nan"), cropped.dtype))
        return cropped

    def _check(self, shape: Any) -> None:
        shape = tuple(shape)
        check_batch(shape, "RandomCrop")
        for side, length, name in ((shape[1], self.height, "height"), (shape[2], self.width, "width")):
            if side is not None and side + 2 * self.padding < length:
                raise ValueError(
                    f"{name} must be at most the padded image's, {side + 2 * self.padding}. Received: {name}={length}; "
                    "give a larger padding, or resize the images first"
                )
            if side is not None and self.padding_mode == "reflect" and self.padding >= side:
                raise ValueError(
                    f'padding must be below the image\'s {name} of {side} for padding_mode="reflect". '
                    f'Received: padding={self.padding}; choose less, or padding_mode="edge"'
                )

    def _fits(self, sides: Any) -> Any:
        """The rules of `_check` as a tensor, for sides that only the running graph knows."""
        height, width = sides
        fits = ops.logical_and(height + 2 * self.padding >= self.height, width + 2 * self.padding >= self.width)
        if self.padding_mode == "reflect":
            fits = ops.logical_and(fits, ops.logical_and(height > self.padding, width > self.padding))
        return fits

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self._check(input_shape)
        return (input_shape[0], self.height, self.width, input_shape[3])

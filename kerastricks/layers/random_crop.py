"""Random crop with a place of its own for each image."""

from numbers import Integral
from typing import Any, Literal

import keras
from keras import ops

from kerastricks.layers.gather_pixels import gather_pixels

PADDING_MODES = ("constant", "reflect", "edge")


@keras.saving.register_keras_serializable(package="kerastricks")
class RandomCrop(keras.layers.Layer):
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
        super().__init__(**kwargs)
        for name, pixels, least in (("height", height, 1), ("width", width, 1), ("padding", padding, 0)):
            if isinstance(pixels, bool) or not isinstance(pixels, Integral) or pixels < least:
                raise ValueError(f"{name} must be an integer, {least} or more. Received: {name}={pixels!r}")
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {PADDING_MODES}. Received: padding_mode={padding_mode!r}")
        self.height = int(height)
        self.width = int(width)
        self.padding = int(padding)
        self.padding_mode = padding_mode
        self.fill_value = float(fill_value)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def crop(self, images: Any, offsets: Any) -> Any:
        """Cuts the windows at given places.

        Args:
            images: as the layer takes them.
            offsets: integers (batch, 2): first row and column in the padded image.
        """
        self._check(images.shape)
        sides = ops.shape(images)[1:3]
        offsets = ops.cast(offsets, "int32") - self.padding
        places, inside = [], []
        for axis, length in enumerate((self.height, self.width)):
            place = offsets[:, axis : axis + 1] + ops.arange(length, dtype="int32")
            last = sides[axis] - 1
            inside.append(ops.logical_and(place >= 0, place <= last))
            if self.padding_mode == "reflect":
                place = last - ops.abs(last - ops.abs(place))
            places.append(ops.clip(place, 0, last))
        cropped = ops.cast(gather_pixels(images, *places), self.compute_dtype)
        if self.padding and self.padding_mode == "constant":
            image = ops.logical_and(inside[0][:, :, None, None], inside[1][:, None, :, None])
            cropped = ops.where(image, cropped, ops.cast(self.fill_value, cropped.dtype))
        if None in tuple(images.shape)[1:3]:
            cropped = ops.where(self._fits(sides), cropped, ops.cast(float("nan"), cropped.dtype))
        return cropped

    def call(self, images: Any, training: bool = False) -> Any:
        self._check(images.shape)
        batch, height, width = ops.shape(images)[:3]
        if tuple(images.shape)[1:3] == (self.height, self.width) and not (training and self.padding):
            return ops.cast(images, self.compute_dtype)
        last_row, last_column = height + 2 * self.padding - self.height, width + 2 * self.padding - self.width
        if training:
            # One more than the last: the integer part of [0, 1) times that is uniform over 0 to the last.
            places = ops.stack([ops.cast(last + 1, "float32") for last in (last_row, last_column)])
            draws = keras.random.uniform((batch, 2), dtype="float32", seed=self.seed_generator)
            offsets = ops.minimum(ops.floor(draws * places), places - 1)
        else:
            centre = ops.stack([ops.cast(last // 2, "int32") for last in (last_row, last_column)])
            offsets = ops.tile(centre[None], (batch, 1))
        return self.crop(images, offsets)

    def _check(self, shape: Any) -> None:
        shape = tuple(shape)
        if len(shape) != 4:
            raise ValueError(
                f"RandomCrop needs images (batch, height, width, channels). Received: shape {shape}; make batches"
            )
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
        """The same as a tensor, for sides that only the running graph knows."""
        height, width = sides
        fits = ops.logical_and(height + 2 * self.padding >= self.height, width + 2 * self.padding >= self.width)
        if self.padding_mode == "reflect":
            fits = ops.logical_and(fits, ops.logical_and(height > self.padding, width > self.padding))
        return fits

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self._check(input_shape)
        return (input_shape[0], self.height, self.width, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        names = ("height", "width", "padding", "padding_mode", "fill_value", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

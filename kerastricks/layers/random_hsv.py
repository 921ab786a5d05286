"""Random power, factor and shift of saturation and value, and a random turn of the hue."""

from typing import Any, Literal

import keras
from keras import ops

from kerastricks.augment.colours import Changes, Ranges
from kerastricks.augment.ops.hue import Hsv
from kerastricks.layers.op_layer import ColourLayer


@keras.saving.register_keras_serializable(package="kerastricks")
class RandomHSV(ColourLayer):
    """Changes each image's saturation and value to `clip(x^power * factor + shift, 0, 1)` and turns its hue.

    The seven numbers are drawn once per image and use: power, factor and shift of S and of V, each on its own, and
    the hue's shift, which is wrapped. It makes the network indifferent to exposure, contrast and tint; it hurts
    where colour tells the classes apart, and a grey image that gets saturation added gets a tint that it never
    had (`shift_range=(0, 0)` leaves grey grey). Training: as drawn. Inference: the identity.

    Args:
        power_range: (low, high) of the powers, above 0.
        factor_range: (low, high) of the factors, 0 or more.
        shift_range: (low, high) of what is added to S and V, in [-1, 1].
        hue_range: (low, high) of what is added to H, in turns, in [-1, 1].
        value_range: (low, high) of the pixels; what is outside is clipped first.
        channels: order of the images' channels, "rgb" or "bgr" (OpenCV's, Caffe's).
        power_draw: "log_uniform" darkens as often as it brightens; "uniform" has mean 2.1 over (0.25, 4) and
            darkens most images.
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        images: float or integer, (batch, height, width, 3), within `value_range`.
        training: whether to draw.

    Returns:
        Float in the layer's compute dtype, of the same shape, within `value_range`.

    Raises:
        ValueError: for ranges that are empty or outside their bounds, an unknown `channels` or `power_draw`,
            images that have not three channels, or integer images with a `value_range` like (0, 1) (seen where
            the layer is called with them: a `keras.Input` of the default dtype makes them float before).

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.RandomHSV(seed=0)
        >>> layer(numpy.full((2, 4, 4, 3), 128.0), training=True).shape
        TensorShape([2, 4, 4, 3])

    Reference:
        Dosovitskiy, Springenberg, Riedmiller, Brox: Discriminative Unsupervised Feature Learning with
        Convolutional Neural Networks, NeurIPS 2014 (arXiv 1406.6909), section 2.1, "contrast 2" and "colour".
        Deviations: the powers are log-uniform by default, where the paper gives only their bounds; S and V have
        draws of their own, where it leaves that open; the result is clipped, which it does not say.
    """

    arguments = ("power_range", "factor_range", "shift_range", "hue_range", "value_range", "channels", "power_draw")

    def __init__(
        self,
        power_range: tuple[float, float] = (0.25, 4.0),
        factor_range: tuple[float, float] = (0.7, 1.4),
        shift_range: tuple[float, float] = (-0.1, 0.1),
        hue_range: tuple[float, float] = (-0.1, 0.1),
        value_range: tuple[float, float] = (0.0, 255.0),
        channels: Literal["rgb", "bgr"] = "rgb",
        power_draw: Literal["log_uniform", "uniform"] = "log_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, channels, seed, **kwargs)
        ranges = Ranges(power_range, factor_range, shift_range, hue_range, power_draw).checked()
        self.power_range = ranges.power_range
        self.factor_range = ranges.factor_range
        self.shift_range = ranges.shift_range
        self.hue_range = ranges.hue_range
        self.power_draw = power_draw

    @property
    def _op(self) -> Hsv:
        return Hsv(self.power_range, self.factor_range, self.shift_range, self.hue_range, self.power_draw)

    def draw(self, batch: Any) -> Any:
        """Draws for `batch` images: (batch, 7), see `transform`."""
        return ops.stack(list(self.draw_parameters(self._op, batch).values()), axis=1)

    def transform(self, images: Any, draws: Any) -> Any:
        """The images under given draws.

        Args:
            images: as the layer takes them.
            draws: (batch, 7): power of S, power of V, factor of S, factor of V, shift of S, shift of V, shift of H.
        """
        low, high = self.value_range
        draws = ops.cast(draws, "float32")
        changes = Changes(*(draws[:, column] for column in range(7)))
        pixels = (ops.cast(images, "float32") - low) / (high - low)
        pixels = self._op.changed(pixels, changes, ops, (0, 1, 2) if self.channels == "rgb" else (2, 1, 0))
        return ops.cast(pixels * (high - low) + low, self.compute_dtype)

    def change(self, images: Any) -> Any:
        return self.transform(images, self.draw(ops.shape(images)[0]))

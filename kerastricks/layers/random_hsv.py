"""Random power, factor and shift of saturation and value, and a random turn of the hue."""

import math
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from kerastricks.layers.value_range import check_channels, check_colour_images, check_colour_shape, check_value_range


@keras.saving.register_keras_serializable(package="kerastricks")
class RandomHSV(keras.layers.Layer):
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
        Deviations: the powers are log-uniform by default, where the paper gives their bounds alone; S and V have
        draws of their own, where it leaves that open; the result is clipped, which it does not say.
    """

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
        super().__init__(**kwargs)
        self.power_range = _interval("power_range", power_range, 0.0, math.inf)
        if not self.power_range[0] > 0:
            raise ValueError(f"power_range must be above 0: a power of 0 is white. Received: power_range={power_range}")
        self.factor_range = _interval("factor_range", factor_range, 0.0, math.inf)
        self.shift_range = _interval("shift_range", shift_range, -1.0, 1.0)
        self.hue_range = _interval("hue_range", hue_range, -1.0, 1.0)
        self.value_range = check_value_range(value_range)
        self.channels = check_channels(channels)
        if power_draw not in ("log_uniform", "uniform"):
            raise ValueError(f'power_draw must be "log_uniform" or "uniform". Received: power_draw={power_draw!r}')
        self.power_draw = power_draw
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def draw(self, batch: Any) -> Any:
        """Draws for `batch` images: (batch, 7), see `transform`."""
        log = self.power_draw == "log_uniform"
        powers = (math.log(self.power_range[0]), math.log(self.power_range[1])) if log else self.power_range
        ranges = [powers] * 2 + [self.factor_range] * 2 + [self.shift_range] * 2 + [self.hue_range]
        lows = ops.convert_to_tensor([low for low, _ in ranges], "float32")
        widths = ops.convert_to_tensor([high - low for low, high in ranges], "float32")
        draws = lows + widths * keras.random.uniform((batch, 7), dtype="float32", seed=self.seed_generator)
        return ops.concatenate([ops.exp(draws[:, :2]), draws[:, 2:]], axis=1) if log else draws

    def transform(self, images: Any, draws: Any) -> Any:
        """The images under given draws.

        Args:
            images: as the layer takes them.
            draws: (batch, 7): power of S, power of V, factor of S, factor of V, shift of S, shift of V, shift of H.
        """
        low, high = self.value_range
        pixels = (ops.cast(images, "float32") - low) / (high - low)
        hue, saturation, value = self._to_hsv(ops.clip(pixels, 0.0, 1.0))
        draws = ops.cast(draws, "float32")[:, None, None, :]
        saturation = ops.clip(_power(saturation, draws[..., 0]) * draws[..., 2] + draws[..., 4], 0.0, 1.0)
        value = ops.clip(_power(value, draws[..., 1]) * draws[..., 3] + draws[..., 5], 0.0, 1.0)
        pixels = self._to_rgb(hue + 6.0 * draws[..., 6], saturation, value)
        return ops.cast(pixels * (high - low) + low, self.compute_dtype)

    # Keras's own conversions are right in value, but hsv_to_rgb has no gradient on TensorFlow.
    def _to_hsv(self, pixels: Any) -> tuple[Any, Any, Any]:
        """Hue in sixths of a turn, not wrapped; saturation; value."""
        red, green, blue = (pixels[..., i] for i in ((0, 1, 2) if self.channels == "rgb" else (2, 1, 0)))
        value = ops.maximum(ops.maximum(red, green), blue)  # a reduction over the channels is slow under XLA
        chroma = value - ops.minimum(ops.minimum(red, green), blue)
        saturation = chroma / ops.where(value > 0, value, 1.0)
        span = ops.where(chroma > 0, chroma, 1.0)
        hue = ops.where(
            value == red,
            (green - blue) / span,
            ops.where(value == green, 2.0 + (blue - red) / span, 4.0 + (red - green) / span),
        )
        return hue, saturation, value

    def _to_rgb(self, hue: Any, saturation: Any, value: Any) -> Any:
        """The inverse; any real `hue` is wrapped."""
        chroma = value * saturation
        planes = []
        for start in (5.0, 3.0, 1.0) if self.channels == "rgb" else (1.0, 3.0, 5.0):
            # Where the hue is on the hexagon; the channel is lowest from 1 to 3. (mod is slow under XLA.)
            place = hue + start
            place = place - 6.0 * ops.floor(place / 6.0)
            planes.append(value - chroma * ops.clip(ops.minimum(place, 4.0 - place), 0.0, 1.0))
        return ops.stack(planes, axis=-1)

    def call(self, images: Any, training: bool = False) -> Any:
        check_colour_images(images, self.value_range, "RandomHSV")
        if not training:
            return ops.cast(images, self.compute_dtype)
        return self.transform(images, self.draw(ops.shape(images)[0]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        check_colour_shape(input_shape, "RandomHSV")
        return input_shape

    def get_config(self) -> dict[str, Any]:
        names = ("power_range", "factor_range", "shift_range", "hue_range", "value_range", "channels", "power_draw")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}, "seed": self.seed}


def _interval(name: str, given: tuple[float, float], lowest: float, highest: float) -> tuple[float, float]:
    if np.shape(given) != (2,) or not lowest <= given[0] <= given[1] <= highest or not math.isfinite(given[1]):
        raise ValueError(f"{name} must be (low, high) within [{lowest:g}, {highest:g}]. Received: {name}={given}")
    return float(given[0]), float(given[1])


def _power(x: Any, power: Any) -> Any:
    """x^power for x of 0 or more, with the gradient 0 where x is 0: it would be infinite below power 1."""
    # Not ops.power, which takes three times as long under XLA on a CPU.
    return ops.where(x > 0, ops.exp(power * ops.log(ops.where(x > 0, x, 1.0))), 0.0)

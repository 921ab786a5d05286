"""Random power, factor and shift of saturation and value, and a random turn of the hue."""

from typing import Any, Literal

import keras
from keras import ops

from kerastricks.augment.colours import Changes, Ranges, jitter
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
        ranges = Ranges(power_range, factor_range, shift_range, hue_range, power_draw).checked()
        self.power_range = ranges.power_range
        self.factor_range = ranges.factor_range
        self.shift_range = ranges.shift_range
        self.hue_range = ranges.hue_range
        self.power_draw = power_draw
        self.value_range = check_value_range(value_range)
        self.channels = check_channels(channels)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def draw(self, batch: Any) -> Any:
        """Draws for `batch` images: (batch, 7), see `transform`."""
        ranges = Ranges(self.power_range, self.factor_range, self.shift_range, self.hue_range, self.power_draw)
        uniforms = keras.random.uniform((batch, 7), dtype="float32", seed=self.seed_generator)
        return ops.stack(list(ranges.draw(uniforms, ops)), axis=1)

    def transform(self, images: Any, draws: Any) -> Any:
        """The images under given draws.

        Args:
            images: as the layer takes them.
            draws: (batch, 7): power of S, power of V, factor of S, factor of V, shift of S, shift of V, shift of H.
        """
        low, high = self.value_range
        pixels = ops.clip((ops.cast(images, "float32") - low) / (high - low), 0.0, 1.0)
        draws = ops.cast(draws, "float32")
        order = (0, 1, 2) if self.channels == "rgb" else (2, 1, 0)  # its own inverse
        red, green, blue = (pixels[..., channel] for channel in order)
        colours = jitter(red, green, blue, Changes(*(draws[:, place] for place in range(7))), ops)
        pixels = ops.stack([colours[channel] for channel in order], axis=-1)
        return ops.cast(pixels * (high - low) + low, self.compute_dtype)

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

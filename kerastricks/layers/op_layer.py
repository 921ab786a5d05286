"""The base of the layers that are one op of `kerastricks.augment`: they draw and check, the op is the trick."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from kerastricks.augment.op import Draws, Op, Parameters
from kerastricks.layers.value_range import check_channels, check_colour_images, check_colour_shape, check_value_range


class OpLayer(keras.layers.Layer):
    """Applies an op in training, with draws of its own for each image.

    Attributes:
        arguments: the constructor's, which `get_config` saves beside `seed`.

    Args:
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.
    """

    arguments: ClassVar[Sequence[str]] = ()

    def __init__(self, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def draw_parameters(self, op: Op, batch: Any) -> Parameters:
        """The op's parameters for `batch` images, by the next draws of the layer's generator."""
        uniforms = keras.random.uniform((batch, op.uniforms), dtype="float32", seed=self.seed_generator)
        return op.parameters(Draws(uniforms), ops)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in (*self.arguments, "seed")}}


class ColourLayer(OpLayer):
    """Changes the colours of images with three channels in training; the identity in inference.

    Args:
        value_range: (low, high) of the pixels.
        channels: order of the images' channels, "rgb" or "bgr".
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.
    """

    def __init__(self, value_range: tuple[float, float], channels: str, seed: int | None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.value_range = check_value_range(value_range)
        self.channels = check_channels(channels)

    @abstractmethod
    def change(self, images: Any) -> Any:
        """The images under new draws, in the compute dtype."""

    def call(self, images: Any, training: bool = False) -> Any:
        check_colour_images(images, self.value_range, type(self).__name__)
        return self.change(images) if training else ops.cast(images, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        check_colour_shape(input_shape, type(self).__name__)
        return input_shape


def check_batch(shape: Any, layer: str) -> None:
    """ValueError for what is no batch of images."""
    if len(shape) != 4:
        raise ValueError(
            f"{layer} needs images (batch, height, width, channels). Received: shape {tuple(shape)}; make batches"
        )

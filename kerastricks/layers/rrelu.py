"""RReLU: a leaky ReLU whose slope is drawn anew for every element in training."""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

DEFAULT_RANGES = {"paper": (3.0, 8.0), "library": (1 / 8, 1 / 3)}


@keras.saving.register_keras_serializable(package="kerastricks")
class RReLU(keras.layers.Layer):
    """Leaves x >= 0 as it is and multiplies x < 0 by a slope that is drawn per element in training.

    The random slope is noise inside the network, and regularises it: it helps where a network overfits (small
    data sets), and costs accuracy where it underfits. Training: a fresh slope for every negative element.
    Inference: one fixed slope. The gradient goes through the slope that was drawn.

    Mode "paper": x / a with a ~ U(l, u) = U(3, 8); inference divides by the mean divisor, x / 5.5. The mean
    slope of training is ln(u / l) / (u - l) = 0.1962, the slope of inference 2 / (l + u) = 0.1818: they differ.
    Mode "library" (PyTorch, tensorflow-addons): x * s with s ~ U(1/8, 1/3); inference multiplies by the mean
    slope 0.2292.

    Args:
        mode: "paper" or "library".
        divisor_range: (l, u) of mode "paper", 0 < l <= u, (3, 8) by default; not for mode "library".
        slope_range: (lower, upper) of mode "library", 0 <= lower <= upper, (1/8, 1/3) by default; not for mode
            "paper".
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: float, any shape.
        training: whether to draw.

    Returns:
        The same shape, in the layer's compute dtype.

    Raises:
        ValueError: for an unknown mode, bounds the wrong way round or out of range, or the range of the other
            mode.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.RReLU()
        >>> [round(float(y), 4) for y in layer(numpy.array([-11.0, -5.5, 0.0, 2.0]))]
        [-2.0, -1.0, 0.0, 2.0]

    Reference:
        Xu, Wang, Chen, Li: Empirical Evaluation of Rectified Activations in Convolution Network, arXiv
        1505.00853, section 2.4. Deviation: the section first writes the slope itself as the uniform draw, and
        then draws U(3, 8) and divides by its mean: the division is what was run, and is mode "paper"; mode
        "library" is the other reading. tensorflow-addons accepts bounds the wrong way round, this layer does not.
    """

    def __init__(
        self,
        mode: Literal["paper", "library"] = "paper",
        divisor_range: tuple[float, float] | None = None,
        slope_range: tuple[float, float] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in DEFAULT_RANGES:
            raise ValueError(f'mode must be "paper" or "library". Received: mode={mode!r}')
        own, other = ("divisor_range", "slope_range") if mode == "paper" else ("slope_range", "divisor_range")
        given = {"divisor_range": divisor_range, "slope_range": slope_range}
        if given[other] is not None:
            raise ValueError(f'mode "{mode}" takes {own}, not {other}. Received: {other}={given[other]}')
        chosen = given[own]
        bounds = DEFAULT_RANGES[mode] if chosen is None else chosen
        lowest = "0 < lower" if mode == "paper" else "0 <= lower"
        if not (
            np.shape(bounds) == (2,)
            and np.isfinite(bounds).all()
            and bounds[0] <= bounds[1]
            and (bounds[0] > 0 or (mode == "library" and bounds[0] == 0))
        ):
            raise ValueError(f"{own} must be (lower, upper) with {lowest} <= upper. Received: {own}={bounds}")
        self.mode = mode
        self.bounds = (float(bounds[0]), float(bounds[1]))
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    @property
    def inference_slope(self) -> float:
        """Factor of x < 0 outside training."""
        lower, upper = self.bounds
        return 2 / (lower + upper) if self.mode == "paper" else (lower + upper) / 2

    @property
    def mean_square_slope(self) -> float:
        """The mean of the square of the slope in training: the variance that passes on the negative side."""
        lower, upper = self.bounds
        # E[1 / a^2] for a ~ U(l, u) is 1 / (l u): 1/24 for (3, 8).
        return 1 / (lower * upper) if self.mode == "paper" else (lower**2 + lower * upper + upper**2) / 3

    def call(self, inputs: Any, training: bool = False) -> Any:
        inputs = ops.cast(inputs, self.compute_dtype)
        if not training:
            return ops.where(inputs < 0, inputs * self.inference_slope, inputs)
        # Drawn in float32: a low-precision uniform draw has only a few values.
        draws = keras.random.uniform(ops.shape(inputs), *self.bounds, dtype="float32", seed=self.seed_generator)
        slopes = ops.cast(1 / draws if self.mode == "paper" else draws, inputs.dtype)
        return ops.where(inputs < 0, inputs * slopes, inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = "divisor_range" if self.mode == "paper" else "slope_range"
        return {**super().get_config(), "mode": self.mode, own: self.bounds, "seed": self.seed}

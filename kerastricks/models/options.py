"""Options of every model of the zoo, and the layers that follow them."""

from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import keras

from kerastricks import activations, initializers, regularizers
from kerastricks.regularizers.penalties import Regularization


def check_dropout(rate: float) -> float:
    """Returns `rate`; raises ValueError unless it is in [0, 1): Keras's Dropout takes 1, and then nothing is left."""
    if not isinstance(rate, Real) or not 0 <= rate < 1:
        raise ValueError(f"dropout must be a number in [0, 1). Received: dropout={rate!r}")
    return float(rate)


@dataclass(frozen=True)
class ModelOptions:
    """Activation, initialization, regularization and dropout of a model of the zoo.

    Args:
        activation: a spec for `kerastricks.activations.get`: "relu", "leaky_relu(0.18)", "rrelu".
        initializer: of convolution and dense kernels: a spec for `kerastricks.initializers.get`, a Keras
            initializer, or "auto": He's rule with the gain of the activation, variance gain^2 / n_in.
        regularizer: of convolution and dense kernels: a spec for `kerastricks.regularizers.get`,
            "l2(5e-4) | max_norm(3)", or a Keras regularizer.
        dropout: rate before the last layer, in [0, 1).
    """

    activation: str
    initializer: Any = "auto"
    regularizer: Any = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_dropout(self.dropout)

    def activate(self, x: Any, name: str) -> Any:
        """Applies the activation."""
        return activations.get(self.activation, rank=len(x.shape), name=name)(x)

    def kernel_initializer(self) -> keras.initializers.Initializer:
        """An initializer of its own for each layer: a shared one would give equal kernels to equal shapes."""
        if self.initializer != "auto":
            return initializers.get(self.initializer)
        # Keras's own class, so that a saved model loads without kerastricks; for ReLU it is Keras's he_normal.
        return keras.initializers.VarianceScaling(self._gain**2, mode="fan_in", distribution="truncated_normal")

    def depthwise_initializer(self, channels: int) -> keras.initializers.Initializer:
        """An initializer for a depthwise kernel: k*k values go into a unit, and Keras counts those of all channels."""
        if self.initializer == "auto":
            scale = self._gain**2 * channels
            return keras.initializers.VarianceScaling(scale, mode="fan_in", distribution="truncated_normal")
        initializer = initializers.get(self.initializer)
        if hasattr(initializer, "depthwise"):
            initializer.depthwise = True
        return initializer

    def convolve(
        self, x: Any, filters: int, name: str, strides: int = 1, kernel_size: int = 3, use_bias: bool = False
    ) -> Any:
        """A convolution with zero padding; without bias, which the normalisation after it has, unless told."""
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding="same",
            use_bias=use_bias,
            kernel_initializer=self.kernel_initializer(),
            kernel_regularizer=self._regularization.regularizer,
            kernel_constraint=self._regularization.constraint("conv2d"),
            name=name,
        )(x)

    def convolve_depthwise(self, x: Any, name: str, strides: int = 1, kernel_size: int = 3) -> Any:
        """A depthwise convolution with zero padding and without bias."""
        return keras.layers.DepthwiseConv2D(
            kernel_size,
            strides=strides,
            padding="same",
            use_bias=False,
            depthwise_initializer=self.depthwise_initializer(x.shape[-1]),
            depthwise_regularizer=self._regularization.regularizer,
            depthwise_constraint=self._regularization.constraint("depthwise_conv2d"),
            name=name,
        )(x)

    def dense(self, x: Any, units: int, name: str, kernel_initializer: Any = None, dtype: Any = None) -> Any:
        """A dense layer with bias."""
        return keras.layers.Dense(
            units,
            kernel_initializer=kernel_initializer or self.kernel_initializer(),
            kernel_regularizer=self._regularization.regularizer,
            kernel_constraint=self._regularization.constraint("dense"),
            dtype=dtype,
            name=name,
        )(x)

    @cached_property
    def _gain(self) -> float:
        return activations.gain(self.activation)

    @cached_property
    def _regularization(self) -> Regularization:
        return regularizers.get(self.regularizer)

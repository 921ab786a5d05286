"""The choices that every model of the zoo offers to the tricks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

# Activations that are layers of their own, with the defaults of their papers and not Keras's.
ACTIVATION_LAYERS: dict[str, Callable[[], keras.layers.Layer]] = {
    # Maas et al. 2013: 0.01; Keras's default is 0.3.
    "leaky_relu": lambda: keras.layers.LeakyReLU(negative_slope=0.01),
    # He et al. 2015: one slope per channel from 0.25; Keras's default is one per pixel from 0.
    "prelu": lambda: keras.layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25), shared_axes=[1, 2]),
}


@dataclass(frozen=True)
class Knobs:
    """How a model of the zoo activates, starts, is regularised and drops out.

    Args:
        activation: a name of `keras.activations`, "leaky_relu" (slope 0.01) or "prelu" (0.25, per channel).
        initializer: of convolution kernels: a Keras initializer or its name.
        regularizer: of convolution and dense kernels: a Keras regularizer or its name.
        dropout: rate before the last layer, in [0, 1).
    """

    activation: str
    initializer: Any = "he_normal"
    regularizer: Any = None
    dropout: float = 0.0

    def activate(self, x: Any, name: str) -> Any:
        """Applies the activation."""
        if self.activation in ACTIVATION_LAYERS:
            layer = ACTIVATION_LAYERS[self.activation]()
            layer.name = name
            return layer(x)
        return keras.layers.Activation(self.activation, name=name)(x)

    def convolve(self, x: Any, filters: int, name: str, strides: int = 1, kernel_size: int = 3) -> Any:
        """A convolution with zero padding and without bias, which the normalisation behind it has."""
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer=_own_copy(self.initializer),
            kernel_regularizer=self.regularizer,
            name=name,
        )(x)


def _own_copy(initializer: Any) -> Any:
    """An initializer of its own for each layer: a shared one would give equal kernels to equal shapes."""
    initializer = keras.initializers.get(initializer)
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer

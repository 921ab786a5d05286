"""ZCA whitening of whole images."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.layers.whitening import Whitening


@keras.saving.register_keras_serializable(package="kerastricks")
class ZCAWhitening(Whitening):
    """Takes the correlations between pixels out of images and leaves them as like themselves as possible.

    It is PCA whitening rotated back. Of all transforms that make pixels uncorrelated and of variance 1 it
    changes them least, so that the result is still an image: edges stand out, and convolutions can use it. It
    helps small models and those without batch normalisation, and it hurts where it amplifies noise and
    compression artefacts, which `epsilon` holds down. Training and inference do the same.

    `adapt(data)` learns from the training images only: an array, or any iterable of batches or of (images,
    labels), a `tf.data.Dataset` among them, in one pass. Parts that several processes have seen with
    `update_state` are joined by `merge_state` and `finalize_state`. What was learned are weights that no
    optimizer touches, saved with the model. Memory: with D = height * width * channels, the covariance is D x D
    in float64 (75 MB for 32x32x3), about six times that for a moment, and D x D in float32 stay. Time grows as
    D^3.

    Args:
        epsilon: added to the variances before the square root, in the square of the inputs' unit, above 0:
            1e-5 is meant for inputs in [0, 1] or of variance 1; for 0 to 255 it is 65,025 times weaker.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: float or integer, (batch, height, width, channels) or (batch, features), of the fitted size.

    Returns:
        The same shape, in the layer's compute dtype; the arithmetic is in float32 or better (on GPUs TensorFlow and
        JAX round the factors of a product to TF32, 10 bits, unless told not to).

    Raises:
        ValueError: for an `epsilon` not above 0, D above 16384, inputs of another rank or size, a use before
            `adapt`, and data to adapt to that are empty, endless, not finite or have no more images than D.

    Example:
        >>> import kerastricks, numpy
        >>> images = numpy.random.default_rng(0).normal(size=(100, 4, 4, 1))
        >>> layer = kerastricks.layers.ZCAWhitening()
        >>> layer.adapt(images)
        >>> layer(images).shape
        TensorShape([100, 4, 4, 1])

    Reference:
        Bell, Sejnowski: The "Independent Components" of Natural Scenes are Edge Filters, Vision Research 37,
        1997; epsilon: Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009, appendix A.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(epsilon, **kwargs)

    def matrix(self, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return (vectors / np.sqrt(values + self.epsilon)) @ vectors.T

    def transform(self, x: Any) -> Any:
        return ops.reshape(super().transform(x), (-1, *self.statistics_shape))

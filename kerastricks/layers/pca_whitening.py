"""PCA whitening of whole images."""

from typing import Any

import keras
import numpy as np

from kerastricks.layers.whitening import Whitening


@keras.saving.register_keras_serializable(package="kerastricks")
class PCAWhitening(Whitening):
    """Rotates images to their principal components and divides each by its standard deviation.

    The outputs on the training set are uncorrelated and of variance 1 (l / (l + epsilon), for a component of
    variance l), strongest first: a linear model or a small dense network learns faster from them, and
    `components` of them say most of what all do. It hurts convolutions, since neighbours are no longer
    neighbours (`ZCAWhitening` keeps them), and it amplifies the noise of weak components, which `epsilon`
    holds down. Training and inference do the same.

    `adapt(data)` learns from the training images only: an array, or any iterable of batches or of (images,
    labels), a `tf.data.Dataset` among them, in one pass. Parts that several processes have seen with
    `update_state` are joined by `merge_state` and `finalize_state`. What was learned are weights that no
    optimizer touches, saved with the model. Memory: with D = height * width * channels, the covariance is D x D
    in float64 (75 MB for 32x32x3), about six times that for a moment, and D x components in float32 stay. Time
    grows as D^3. The sign of a component is such that its largest weight is positive.

    Args:
        epsilon: added to the variances before the square root, in the square of the inputs' unit, above 0:
            1e-5 is meant for inputs in [0, 1] or of variance 1; for 0 to 255 it is 65,025 times weaker.
        components: how many of the strongest to keep; None for all D.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: float or integer, (batch, height, width, channels) or (batch, features), of the fitted size.

    Returns:
        (batch, components), in the layer's compute dtype; the arithmetic is in float32 or better (on GPUs TensorFlow
        and JAX round the factors of a product to TF32, 10 bits, unless told not to).

    Raises:
        ValueError: for an `epsilon` not above 0, `components` below 1 or above D, D above 16384, inputs of
            another rank or size, a use before `adapt`, and data to adapt to that are empty, endless, not finite
            or have no more images than components.

    Example:
        >>> import kerastricks, numpy
        >>> images = numpy.random.default_rng(0).normal(size=(100, 4, 4, 3))
        >>> layer = kerastricks.layers.PCAWhitening(components=5)
        >>> layer.adapt(images)
        >>> numpy.allclose(numpy.cov(layer(images), rowvar=False, bias=True), numpy.eye(5), atol=1e-3)
        True

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 2, after Stanford CS231n, notes 2.
        Deviation: epsilon is added before the square root, as in Krizhevsky: Learning Multiple Layers of Features
        from Tiny Images, 2009, and not after it.
    """

    def __init__(self, epsilon: float = 1e-5, components: int | None = None, **kwargs: Any) -> None:
        super().__init__(epsilon, **kwargs)
        if components is not None and (isinstance(components, bool) or int(components) != components or components < 1):
            raise ValueError(f"components must be an integer above 0, or None for all. Received: {components!r}")
        self.components = None if components is None else int(components)

    def matrix(self, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return (vectors / np.sqrt(values + self.epsilon))[:, : self.components]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        super().compute_output_shape(input_shape)
        return (input_shape[0], self.components or int(np.prod(input_shape[1:])))  # type: ignore[arg-type]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "components": self.components}

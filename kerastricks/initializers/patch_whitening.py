"""Patch whitening: a first convolution that whitens the patches of the training images."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.errors import UsageError
from kerastricks.keras_graph import all_layers


@keras.saving.register_keras_serializable(package="kerastricks")
class PatchWhitening(keras.initializers.Initializer):
    """Filters that are the eigenvectors of the images' patches, each divided by its standard deviation.

    The outputs of such a convolution are uncorrelated and of variance 1, so that the layers after it start
    from equalised features; the whole network then learns in fewer epochs. Each filter comes with its
    negative, so that an activation that drops one half of the line drops nothing. With 2 k*k*C filters all
    components are there; with fewer, the strongest; with more, the last are filled up with the first.

    Args:
        eigenvalues: (k*k*C,) in descending order, as `fit` finds them; None is white noise (all 1).
        eigenvectors: (k*k*C, k*k*C), one component per column, rows in the kernel's order (y, x, channel);
            None is the identity.
        epsilon: added to the eigenvalues before the square root, in the square of the pixels' unit.

    Call arguments:
        shape: of the kernel: (k, k, C, filters).
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for a kernel that does not have the size that was fitted.

    Example:
        >>> import kerastricks, numpy
        >>> images = numpy.random.default_rng(0).normal(size=(16, 8, 8, 3))
        >>> start = kerastricks.initializers.PatchWhitening.fit(images, 2)
        >>> start((2, 2, 3, 24)).shape
        TensorShape([2, 2, 3, 24])

    Reference:
        Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv 2404.00498, section 3.1, after Page,
        How to Train Your ResNet, 2019. Deviation: `fit` centres the patches, which changes nothing for images
        that are centred.
    """

    def __init__(
        self,
        eigenvalues: Sequence[float] | None = None,
        eigenvectors: Sequence[Sequence[float]] | None = None,
        epsilon: float = 5e-4,
    ) -> None:
        self.eigenvalues = None if eigenvalues is None else np.asarray(eigenvalues, "float64").tolist()
        self.eigenvectors = None if eigenvectors is None else np.asarray(eigenvectors, "float64").tolist()
        self.epsilon = epsilon

    @classmethod
    def fit(cls, images: np.ndarray, kernel_size: int, epsilon: float = 5e-4) -> "PatchWhitening":
        """The initializer for `images` (N, height, width, C), as the convolution will see them."""
        images = np.asarray(images, "float32")
        if images.ndim != 4 or min(images.shape[1:3]) < kernel_size:
            raise ValueError(
                f"images must be (N, height, width, C) and not smaller than {kernel_size} pixels. "
                f"Received: shape {images.shape}"
            )
        windows = np.lib.stride_tricks.sliding_window_view(images, (kernel_size, kernel_size), axis=(1, 2))
        # (N, y, x, C, k, k) to rows in the kernel's order (k, k, C).
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kernel_size**2 * images.shape[-1])
        values, vectors = np.linalg.eigh(np.cov(patches.astype("float64"), rowvar=False, bias=True))
        return cls(values[::-1].tolist(), vectors[:, ::-1].tolist(), epsilon)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        rows, filters = int(np.prod(shape[:-1])), shape[-1]
        values = np.ones(rows) if self.eigenvalues is None else np.asarray(self.eigenvalues)
        vectors = np.eye(rows) if self.eigenvectors is None else np.asarray(self.eigenvectors)
        if vectors.shape != (rows, rows):
            raise ValueError(
                f"PatchWhitening was fitted for kernels of {vectors.shape[0]} values (k * k * channels). "
                f"Received: shape={tuple(shape)}"
            )
        whitening = vectors / np.sqrt(np.maximum(values, 0) + self.epsilon)
        half = -(-filters // 2)
        chosen = whitening[:, np.arange(half) % rows]
        kernel = np.concatenate([chosen, -chosen], axis=1)[:, :filters].reshape(shape)
        return ops.convert_to_tensor(kernel, dtype or keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {
            "eigenvalues": self.eigenvalues,
            "eigenvectors": self.eigenvectors,
            "epsilon": self.epsilon,
        }


def whiten_patches(model: keras.Model, images: np.ndarray) -> bool:
    """Sets the convolution of `model` that asks for `PatchWhitening` from the images it will see.

    The layer is left with an initializer of Keras's own, so that calling it again changes nothing.

    Args:
        model: a functional model, changed in place.
        images: pixels (N, height, width, C) as the model's input takes them; a few thousand are plenty.

    Returns:
        Whether the model has such a convolution.

    Raises:
        UsageError: a ValueError, if more layers ask for it, one in a nested model, or one that is no convolution of
            images: their filters would stay those of white noise.
    """
    asking = [
        layer
        for layer in all_layers(model, include_self=False)
        if any(isinstance(value, PatchWhitening) for value in vars(layer).values())
    ]
    if not asking:
        return False
    first, *others = asking
    if others or not isinstance(first, keras.layers.Conv2D) or not any(first is layer for layer in model.layers):
        raise UsageError(
            "PatchWhitening is for one Conv2D of the model itself, its first: give the others another initializer. "
            f"Received: it in {', '.join(repr(layer.name) for layer in asking)}"
        )
    start = first.kernel_initializer
    seen = keras.Model(model.inputs[0], first.input).predict(images, batch_size=256, verbose=0)
    fitted = PatchWhitening.fit(np.asarray(seen, "float32"), first.kernel_size[0], start.epsilon)
    first.kernel.assign(fitted(first.kernel.shape))
    # Its work is done; with one of Keras's own the saved model can be loaded without kerastricks.
    first.kernel_initializer = keras.initializers.GlorotUniform()
    return True

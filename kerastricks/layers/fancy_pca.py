"""Fancy PCA, the colour augmentation of AlexNet."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from kerastricks.augment.colour_statistics import image_batches
from kerastricks.augment.colours import eigenpairs, principal_colours
from kerastricks.augment.ops.colour import FancyPCA as FancyPCAOp
from kerastricks.layers.op_layer import ColourLayer, check_dtype
from kerastricks.layers.streaming import StreamingCovariance

# Eigenvalues and eigenvectors (rows R, G, B; columns p1, p2, p3) of ImageNet's pixels in [0, 1].
IMAGENET_EIGENVALUES = (0.2175, 0.0188, 0.0045)
IMAGENET_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


@keras.saving.register_keras_serializable(package="kerastricks")
class FancyPCA(ColourLayer):
    """Adds one random colour to each image, along the principal components of the data set's colours.

    Every pixel of an image gets the same vector `[p1 p2 p3] [a1 l1, a2 l2, a3 l3]^T`, with `p` the eigenvectors
    and `l` the eigenvalues of the covariance of the training set's RGB pixels, and `a ~ N(0, stddev)` drawn
    once per image and use. It helps where the label does not depend on the colour and intensity of the light,
    and hurts where it does (ripeness, stains). Training: the draw is added. Inference: the identity.

    The eigenpairs are ImageNet's until `fit` finds those of your own images: `FancyPCA(0.1).fit(x_train)`.

    Args:
        stddev: standard deviation of `a`; 0 or more, no unit.
        eigenvalues: three variances of RGB in [0, 1], each 0 or more; ImageNet's by default.
        eigenvectors: 3x3, rows R, G, B, one component per column; ImageNet's by default. Rows are R, G, B also
            with `channels="bgr"`.
        value_range: (low, high) of the pixels; the shift is scaled by `high - low`.
        scale: "variance" multiplies `a` by `l` as the paper writes it, "stddev" by sqrt(l), which moves
            colours as far as the data varies.
        clip: whether the result is clipped to `value_range`.
        channels: order of the images' channels, "rgb" or "bgr" (OpenCV's, Caffe's).
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        images: float or integer, (batch, height, width, 3), within `value_range`.
        training: whether to draw.

    Returns:
        Float in the layer's compute dtype, of the same shape.

    Raises:
        ValueError: for a negative `stddev`, an unknown `scale` or `channels`, an empty `value_range`, constants
            of the wrong shape, images that have not three channels, or integer images with a `value_range` like
            (0, 1) (seen where the layer is called with them: a `keras.Input` of the default dtype makes them float
            before).

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.FancyPCA(0.1, seed=0)
        >>> layer(numpy.full((2, 4, 4, 3), 128.0), training=True).shape
        TensorShape([2, 4, 4, 3])

    Reference:
        Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
        NeurIPS 2012, section 4.1. Deviation: the result is clipped, which the paper does not say.
    """

    arguments = ("stddev", "eigenvalues", "eigenvectors", "value_range", "scale", "clip", "channels")

    def __init__(
        self,
        stddev: float = 0.1,
        eigenvalues: Sequence[float] = IMAGENET_EIGENVALUES,
        eigenvectors: Sequence[Sequence[float]] = IMAGENET_EIGENVECTORS,
        value_range: tuple[float, float] = (0.0, 255.0),
        scale: Literal["variance", "stddev"] = "variance",
        clip: bool = True,
        channels: Literal["rgb", "bgr"] = "rgb",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, channels, seed, **kwargs)
        if not 0 <= stddev < math.inf:
            raise ValueError(f"stddev must be 0 or more, and finite. Received: stddev={stddev}")
        if scale not in ("variance", "stddev"):
            raise ValueError(f'scale must be "variance" or "stddev". Received: scale={scale!r}')
        if np.shape(eigenvalues) != (3,) or np.shape(eigenvectors) != (3, 3):
            raise ValueError(
                "eigenvalues must have shape (3,) and eigenvectors (3, 3). "
                f"Received: {np.shape(eigenvalues)} and {np.shape(eigenvectors)}"
            )
        if not (np.isfinite(eigenvalues).all() and np.min(eigenvalues) >= 0):
            raise ValueError(
                f"eigenvalues must be finite and 0 or more: variances. Received: eigenvalues={tuple(eigenvalues)}"
            )
        if not np.isfinite(eigenvectors).all():
            raise ValueError(f"eigenvectors must be finite. Received: eigenvectors={eigenvectors}")
        self.stddev = stddev
        self.eigenvalues = np.asarray(eigenvalues, "float64").tolist()
        self.eigenvectors = np.asarray(eigenvectors, "float64").tolist()
        self.scale = scale
        self.clip = clip

    @property
    def components(self) -> np.ndarray:
        """(3, 3): row k is component k times its strength, in pixel values; draws @ components are colours.

        The columns are in the order of the images' channels.
        """
        low, high = self.value_range
        components = principal_colours(self.eigenvalues, self.eigenvectors, self.scale, high - low)
        return components[:, ::-1] if self.channels == "bgr" else components

    def fit(self, data: Any) -> "FancyPCA":
        """Takes eigenvalues and eigenvectors from all pixels of `data`, read once, and returns the layer.

        Call it with only the training split, before the model is compiled: a training step that is compiled
        already keeps the colours it was compiled with. What is found is part of the layer's configuration, so
        that it is saved with the model.

        Args:
            data: images as the layer will see them (channels, `value_range`), float or integer: one array
                (N, height, width, 3), also one on disk, or an iterable of batches, each an array or a tuple
                (images, ...).

        Raises:
            ValueError: for no images, another shape, values that are not finite or outside `value_range`,
                integer pixels with a `value_range` like (0, 1), or images of one single colour.
        """
        low, high = self.value_range
        collected = StreamingCovariance(3)
        images_read = 0
        for images in image_batches(data, channels=3):
            check_dtype(images.dtype, self.value_range, "FancyPCA.fit")
            smallest, largest = float(images.min()), float(images.max())  # NaN if one of the pixels is
            if not low - 1e-3 * (high - low) <= smallest <= largest <= high + 1e-3 * (high - low):
                raise ValueError(
                    f"data must be finite and within value_range={self.value_range}. Received: pixels from {smallest} "
                    f"to {largest} among images {images_read} to {images_read + len(images) - 1}; give the layer the "
                    "range of your pixels, or mend the images"
                )
            pixels = images.reshape(-1, 3)
            collected.update(pixels[:, ::-1] if self.channels == "bgr" else pixels)
            images_read += len(images)
        # The covariance does not change with the offset, and goes with the square of the range.
        eigenvalues, eigenvectors = eigenpairs(collected.covariance / (high - low) ** 2)
        if not eigenvalues[0] > 1e-12:  # a step of 8 bits in one pixel of a million is 1e-11
            raise ValueError(f"data must hold more than one colour. Received: {collected.count} equal pixels")
        self.eigenvalues = eigenvalues.tolist()
        self.eigenvectors = eigenvectors.tolist()
        return self

    def shift(self, images: Any, alphas: Any) -> Any:
        """Adds the colour of given draws: `alphas` of shape (batch, 3), in the unit of `stddev`."""
        return self._add(images, self._op.colours(ops.cast(alphas, "float32"), ops))

    def change(self, images: Any) -> Any:
        if self.stddev == 0:
            return ops.cast(images, self.compute_dtype)
        return self._add(images, self.draw_parameters(self._op, ops.shape(images)[0])["shift"])

    @property
    def _op(self) -> FancyPCAOp:
        return FancyPCAOp(self.stddev, self.scale).knowing(components=tuple(map(tuple, self.components.tolist())))

    def _add(self, images: Any, colours: Any) -> Any:
        shifted = ops.cast(images, self.compute_dtype) + ops.cast(colours, self.compute_dtype)[:, None, None, :]
        return ops.clip(shifted, *self.value_range) if self.clip else shifted

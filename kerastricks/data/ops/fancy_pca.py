"""Fancy PCA with the training set's own colours."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from kerastricks.data.statistics import PixelStatistics
from kerastricks.errors import SpecError
from kerastricks.layers.fancy_pca import FancyPCA


@dataclass(frozen=True)
class FancyPCAOp:
    """See `kerastricks.layers.FancyPCA`; eigenvalues and eigenvectors are the training split's.

    Args:
        stddev: of the draw per component, 0 or more.
        scale: "variance" (as the paper writes it) or "stddev".
    """

    stddev: float = 0.1
    scale: str = "variance"

    def layer(self, statistics: PixelStatistics, seed: int) -> FancyPCA:
        """The layer, fitted."""
        if len(statistics.mean) != 3:
            raise SpecError("fancy_pca needs colour images: take it out of the spec, or load in colour")
        values, vectors = statistics.eigen()
        return FancyPCA(self.stddev, values, vectors, scale=self.scale, seed=seed, dtype="float32")  # type: ignore[arg-type]

    def apply(self, layer: FancyPCA, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The host's way: the same shift from a stateless draw."""
        draws = tf.random.stateless_normal([tf.shape(images)[0], 3], seed, stddev=self.stddev)
        if keras.backend.backend() == "tensorflow":
            return layer.shift(images, draws)
        # Inside tf.data another backend's ops cannot run: the same sum in TensorFlow's.
        colours = tf.matmul(draws, tf.constant(layer.components, tf.float32))
        return tf.clip_by_value(tf.cast(images, tf.float32) + colours[:, None, None, :], *layer.value_range)

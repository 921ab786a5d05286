"""Base of PCA and ZCA whitening: the mean and one matrix from the covariance's eigenpairs."""

from typing import Any

import numpy as np
from keras import ops

from kerastricks.augment.colours import eigenpairs
from kerastricks.layers.adapting import AdaptingLayer
from kerastricks.layers.streaming import StreamingCovariance


class Whitening(AdaptingLayer):
    """Flattens, subtracts the mean and multiplies with a matrix made of the covariance's eigenpairs.

    `components`: how many a subclass needs, None for all. `matrix(values, vectors)` is (D, outputs).
    """

    max_dimensions = 16384  # 2.1 GB of covariance, six times that while the eigenvectors are found
    components: int | None = None

    def __init__(self, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not epsilon > 0:
            raise ValueError(f"epsilon must be above 0. Received: epsilon={epsilon}")
        self.epsilon = epsilon

    def matrix(self, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def create_statistics(self, dimensions: int) -> StreamingCovariance:
        return StreamingCovariance(dimensions)

    def create_weights(self) -> None:
        dimensions = int(np.prod(self.statistics_shape))
        if self.components is not None and self.components > dimensions:
            raise ValueError(
                f"components must be at most the {dimensions} values of an image. "
                f"Received: components={self.components}"
            )
        self.mean = self.add_statistic("mean", (dimensions,))
        self.whitening = self.add_statistic("whitening", (dimensions, self.components or dimensions))

    def assign_weights(self, statistics: StreamingCovariance) -> None:
        needed = self.components or statistics.dimensions
        if statistics.count <= needed:
            raise ValueError(
                f"data must have more images than dimensions, {needed}, to whiten all of them: take more or smaller "
                f"images, or PCAWhitening(components=fewer). Received: {statistics.count} images"
            )
        values, vectors = eigenpairs(statistics.covariance)
        self.mean.assign(statistics.mean)
        self.whitening.assign(self.matrix(values, vectors))

    def transform(self, x: Any) -> Any:
        dimensions = int(np.prod(self.statistics_shape))
        return ops.matmul(ops.reshape(x, (-1, dimensions)) - self.mean, self.whitening)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}

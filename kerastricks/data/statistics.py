"""Mean, standard deviation and colour covariance of a data set's pixels, in one pass."""

import numpy as np

from kerastricks.augment.colours import eigenpairs
from kerastricks.data.decoding.pixels import decode_all
from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.data.sources.source import Arrays, Examples
from kerastricks.progress import Progress

_CHUNK = 256  # images, of those in memory


class PixelStatistics:
    """Moments of pixels, collected over batches; partial results add up.

    Sums of integers up to 255 are exact in float64 up to 10^11 pixels, so that neither the order nor the size
    of the batches changes the result.

    Args:
        channels: number of channels of the images.

    Example:
        >>> import numpy
        >>> from kerastricks.data import PixelStatistics
        >>> statistics = PixelStatistics(1)
        >>> statistics.update(numpy.array([[[[0]], [[255]]]], "uint8"))
        >>> float(statistics.mean[0]), float(statistics.std[0])
        (127.5, 127.5)
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.total = np.zeros(channels)
        self.products = np.zeros((channels, channels))

    def update(self, images: np.ndarray) -> None:
        """Add images (batch, height, width, channels), uint8."""
        pixels = images.reshape(-1, images.shape[-1]).astype("float64")
        self.count += len(pixels)
        self.total += pixels.sum(axis=0)
        self.products += pixels.T @ pixels

    def __add__(self, other: "PixelStatistics") -> "PixelStatistics":
        result = PixelStatistics(len(self.total))
        result.count = self.count + other.count
        result.total = self.total + other.total
        result.products = self.products + other.products
        return result

    @property
    def mean(self) -> np.ndarray:
        """Mean per channel, (channels,), 0 to 255."""
        return self.total / max(self.count, 1)

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the channels, (channels, channels), in squared pixel values."""
        return self.products / max(self.count, 1) - np.outer(self.mean, self.mean)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation per channel, (channels,); 1 for a constant channel, so that dividing by it is safe."""
        variance = np.diag(self.covariance)
        return np.where(variance > 1e-6, np.sqrt(np.maximum(variance, 0)), 1.0)

    def eigen(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues, descending, and eigenvectors (a column each) of the covariance of pixels in [0, 1]."""
        return eigenpairs(self.covariance / 255.0**2)


def measure_pixels(
    examples: Examples,
    image_shape: tuple[int, int, int],
    description: str,
    progress: Progress,
    fitting: Fitting = WHOLE,
) -> PixelStatistics:
    """Measure the pixels of a split; files are decoded for it.

    Args:
        examples: the split.
        image_shape: (height, width, channels) that files are brought to.
        description: label of the progress.
        progress: shows how many files are done.
        fitting: how files are brought to the shape.

    Raises:
        DataError: for a file that is gone or has changed since it was looked at.
    """
    statistics = PixelStatistics(image_shape[-1])
    if isinstance(examples, Arrays):
        for start in range(0, len(examples), _CHUNK):
            statistics.update(examples.part(start, start + _CHUNK))
        return statistics
    done = 0
    for indices, images in decode_all(examples, image_shape, description, progress, fitting):
        statistics.update(images)
        done += len(indices)
    examples.refuse_fewer(done)
    return statistics

"""Streaming statistics of rows that arrive in batches: mean and covariance, mean and variance."""

from typing import Any

import numpy as np


class StreamingCovariance:
    """Collects mean and covariance in one pass, without cancellation; partial results merge.

    Each block of rows is centred by its own mean before its products are summed, and two parts are joined by the
    difference of their means, so that a large mean beside a small variance loses no digits (the textbook
    E[x^2] - E[x]^2 does). Everything is float64: products in float32 take half the time, and lose eigenvalues
    10^7 times smaller than the largest. Rows of small batches wait until there are a quarter as many as dimensions,
    since every product adds to the whole matrix.

    Args:
        dimensions: values in a row, 1 or more; the memory is 8 dimensions^2 bytes, and
            two and a half times that while rows are added.

    Raises:
        ValueError: for rows of another length, or values that are not finite.

    Example:
        >>> import numpy
        >>> from kerastricks.layers.streaming import StreamingCovariance
        >>> covariance = StreamingCovariance(1)
        >>> covariance.update(numpy.array([[1e9], [1e9 + 2]]))
        >>> float(covariance.mean[0]), float(covariance.covariance[0, 0])
        (1000000001.0, 1.0)

    Reference:
        Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample Variances,
        Stanford CS-TR-79-773, 1979, equation 2.1, for matrices.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._count = 0
        self._mean = np.zeros(dimensions)
        self._products = np.zeros((dimensions, dimensions))  # of deviations from the mean, summed
        self._waiting: list[np.ndarray] = []
        self._waiting_count = 0

    @property
    def count(self) -> int:
        """Rows seen."""
        return self._count + self._waiting_count

    @property
    def mean(self) -> np.ndarray:
        """(dimensions,)."""
        self._flush()
        return self._mean

    @property
    def covariance(self) -> np.ndarray:
        """(dimensions, dimensions): of the population, divided by the number of rows."""
        self._flush()
        return self._products / max(self._count, 1)

    def update(self, rows: Any) -> None:
        """Adds rows (N, dimensions) of any numeric dtype."""
        rows = np.array(rows, "float64")  # a copy: it may wait, and is centred in place
        if rows.ndim != 2 or rows.shape[1] != self.dimensions:
            raise ValueError(f"rows must be (N, {self.dimensions}). Received: shape {rows.shape}")
        if not np.isfinite(rows).all():
            bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise ValueError(
                f"data must be finite: row {self.count + bad} has NaN or infinity; take it out or replace it. "
                f"Received: {rows[bad][~np.isfinite(rows[bad])][0]}"
            )
        if not len(rows):
            return
        self._waiting.append(rows)
        self._waiting_count += len(rows)
        if self._waiting_count >= self.dimensions // 4:
            self._flush()

    def merge(self, other: "StreamingCovariance") -> None:
        """Adds what another one has collected, which keeps it."""
        if other.dimensions != self.dimensions:
            raise ValueError(f"other must have {self.dimensions} dimensions. Received: {other.dimensions}")
        self._flush()
        other._flush()
        self._products += other._products
        self._join(other._count, other._mean)

    def _flush(self) -> None:
        if self._waiting_count:
            rows = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
            self._waiting, self._waiting_count = [], 0
            mean = rows[0] + (rows - rows[0]).mean(axis=0)  # a constant has no deviation at all
            rows -= mean
            self._products += rows.T @ rows  # NumPy sees the symmetry: half the work
            self._join(len(rows), mean)

    def _join(self, count: int, mean: np.ndarray) -> None:
        """Moves the mean; the products of the new rows around their own mean are already in."""
        total = self._count + count
        if count:
            difference = mean - self._mean
            if self._count:
                scaled = difference * np.sqrt(self._count * count / total)
                self._products += np.outer(scaled, scaled)
            self._mean = self._mean + difference * (count / total) if self._count else mean
        self._count = total


class StreamingMoments:
    """Collects mean and variance in one pass, without cancellation; partial results merge.

    It is the diagonal of `StreamingCovariance`, for as many dimensions as an image has.

    Args:
        dimensions: values in a row, 1 or more.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.count = 0
        self.mean = np.zeros(dimensions)
        self.squares = np.zeros(dimensions)  # of deviations from the mean, summed

    @property
    def std(self) -> np.ndarray:
        """(dimensions,): of the population; exactly 0 for a column that never changes."""
        return np.sqrt(self.squares / max(self.count, 1))

    def update(self, rows: np.ndarray) -> None:
        """Adds rows (N, dimensions), float64."""
        if len(rows):
            part = StreamingMoments(self.dimensions)
            # For three channels several times faster along the memory; for many it is as fast across.
            columns = np.ascontiguousarray(rows.T) if self.dimensions < 64 else rows.T
            first = columns[:, 0]
            columns = columns - first[:, None]  # a constant is then 0 throughout, and has no variance by rounding
            shift = columns.mean(axis=1)
            columns -= shift[:, None]
            part.count = len(rows)
            part.mean = first + shift
            part.squares = np.einsum("ij,ij->i", columns, columns)
            self.merge(part)

    def merge(self, other: "StreamingMoments") -> None:
        """Adds what another one has collected, which keeps it."""
        if other.dimensions != self.dimensions:
            raise ValueError(f"other must have {self.dimensions} dimensions. Received: {other.dimensions}")
        total = self.count + other.count
        if not self.count:
            self.mean, self.squares = other.mean, other.squares
        elif other.count:
            difference = other.mean - self.mean
            self.squares = self.squares + other.squares + difference**2 * (self.count * other.count / total)
            self.mean = self.mean + difference * (other.count / total)
        self.count = total

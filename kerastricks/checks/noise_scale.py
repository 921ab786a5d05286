"""Gradient noise scale: unbiased estimates from squared gradient norms at two batch sizes, and their report."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.checks.reporting import finite_or_none, format_number, format_table, plot_batch_sizes
from kerastricks.errors import UsageError

CONFIDENCE = 0.95
_RESAMPLES = 4000


def squared_gradient(small: int, large: int, small_square: float, large_square: float) -> float:
    """Estimates |G|^2, the squared norm of the true gradient; unbiased, and so below 0 at times.

    Args:
        small: images in a small batch.
        large: images in a large batch.
        small_square: squared norm of a small batch's gradient, or a mean of several.
        large_square: squared norm of a large batch's gradient, or a mean of several.

    Reference:
        McCandlish, Kaplan, Amodei: An Empirical Model of Large-Batch Training (arXiv 1812.06162), equation A.2.
    """
    return (large * large_square - small * small_square) / (large - small)


def gradient_noise(small: int, large: int, small_square: float, large_square: float) -> float:
    """Estimates tr(Sigma), the summed variance of one image's gradient; unbiased.

    Args:
        small: images in a small batch.
        large: images in a large batch.
        small_square: squared norm of a small batch's gradient, or a mean of several.
        large_square: squared norm of a large batch's gradient, or a mean of several.

    Reference:
        McCandlish, Kaplan, Amodei (arXiv 1812.06162), equation A.3.
    """
    return (small_square - large_square) / (1 / small - 1 / large)


def check_sizes(small: int, large: int, repeats: int) -> None:
    """Raises UsageError unless a large batch is made of two small ones or more, twice or more often."""
    if small < 1:
        raise UsageError(f"small must be 1 or more. Received: small={small}")
    if large < 2 * small or large % small:
        raise UsageError(
            f"large must be a multiple of small, twice of it or more: its gradient is the mean of small batches. "
            f"Received: small={small}, large={large}"
        )
    if repeats < 2:
        raise UsageError(f"repeats must be 2 or more: the interval is of their spread. Received: repeats={repeats}")


@dataclass(frozen=True)
class BatchSizeReport:
    """The simple gradient noise scale tr(Sigma) / |G|^2, and what it means for the batch size.

    Args:
        model: its name.
        images: how many there were to draw from.
        loss: mean cross-entropy in nats.
        small: images in a small batch.
        large: images in a large batch.
        small_squares: squared gradient norm of small batches, a mean for each repeat.
        large_squares: squared gradient norm of the large batch of each repeat.
    """

    model: str
    images: int
    loss: float
    small: int
    large: int
    small_squares: tuple[float, ...]
    large_squares: tuple[float, ...]

    @property
    def gradient_square(self) -> float:
        """|G|^2, of the mean over repeats; below 0 where noise hides it."""
        return squared_gradient(self.small, self.large, *self._means())

    @property
    def noise(self) -> float:
        """tr(Sigma), of the mean over repeats."""
        return gradient_noise(self.small, self.large, *self._means())

    @property
    def noise_scale(self) -> float:
        """The ratio of both, in images; infinity where |G|^2 is not above 0, NaN where a gradient is not finite."""
        return float(_ratio(np.float64(self.noise), np.float64(self.gradient_square)))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Bootstrap confidence interval of the noise scale over repeats, 95 %; the upper end may be infinite."""
        squares = np.array([self.small_squares, self.large_squares])
        if not np.isfinite(squares).all():
            return math.nan, math.nan
        repeats = squares.shape[1]
        chosen = np.random.default_rng(0).integers(0, repeats, (_RESAMPLES, repeats))
        small, large = squares[:, chosen].mean(axis=2)
        ratios = _ratio(
            gradient_noise(self.small, self.large, small, large), squared_gradient(self.small, self.large, small, large)
        )
        # "lower" and "higher": between a number and infinity nothing can be interpolated.
        tail = (1 - CONFIDENCE) / 2
        low = np.quantile(ratios, tail, method="lower")
        return float(low), float(np.quantile(ratios, 1 - tail, method="higher"))

    @property
    def overlap(self) -> bool:
        """Whether the large batches shared images, for want of others."""
        return len(self.large_squares) * self.large > self.images

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The noise scale, the advice, and what limits both."""
        repeats = len(self.large_squares)
        low, high = self.interval
        if math.isnan(self.noise_scale):
            return ("noise scale: cannot be told, a gradient is not finite: `kerastricks check init` shows where",)
        if math.isinf(self.noise_scale):
            return (
                f"noise scale: cannot be told from {repeats} batches of {self.large:,}, whose gradient is lost in its "
                f"noise; above {_about(low)} images: take a larger --large, or more --repeats",
            )
        end = "no upper end" if math.isinf(high) else _about(high)
        found = _about(self.noise_scale)
        lines = [
            f"noise scale: {found} images (95 % interval {_about(low)} to {end}, {repeats} repeats)",
            f"batches well below {found}: twice the size about halves the steps, for as many images; well above: "
            f"it saves few steps, and costs twice the images; near {found}: about twice the fewest steps and images",
            "measured at these weights: the noise scale tends to grow as the loss falls: check a trained model too",
        ]
        if self.overlap:
            lines.append(
                f"{repeats} batches of {self.large:,} out of {self.images:,} images overlap: the interval is too narrow"
            )
        return tuple(lines)

    def to_text(self) -> str:
        """Formats the squared norms, the estimates and the verdicts."""
        small, large = self._means()
        rows = [(f"{self.small:,}", format_number(small)), (f"{self.large:,}", format_number(large))]
        return "\n".join(
            [
                f"{self.model}: gradient noise scale on {self.images:,} images, loss {self.loss:.3g}",
                "",
                format_table(("images in a batch", "mean |gradient|^2"), rows, left=0),
                "",
                f"|G|^2 {format_number(self.gradient_square)}, tr(Sigma) {format_number(self.noise)}",
                *self.verdicts,
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinity are None."""
        low, high = self.interval
        return {
            "model": self.model,
            "images": self.images,
            "loss": finite_or_none(self.loss),
            "small": self.small,
            "large": self.large,
            "repeats": len(self.large_squares),
            "small_squares": [finite_or_none(value) for value in self.small_squares],
            "large_squares": [finite_or_none(value) for value in self.large_squares],
            "gradient_square": finite_or_none(self.gradient_square),
            "noise": finite_or_none(self.noise),
            "noise_scale": finite_or_none(self.noise_scale),
            "interval": [finite_or_none(low), finite_or_none(high)],
            "overlap": self.overlap,
            "verdicts": list(self.verdicts),
        }

    def plot(self, path: Path | str) -> None:
        """Plots steps and images against the batch size, by the noise scale, as a PNG."""
        title = f"{self.model}: what a batch size costs, by the gradient noise scale"
        plot_batch_sizes(title, self.noise_scale, self.interval, (self.small, self.large), Path(path))

    def _means(self) -> tuple[float, float]:
        return float(np.mean(self.small_squares)), float(np.mean(self.large_squares))


def _about(images: float) -> str:
    """Formats a positive number to two digits: "4,600", "40", "5.0"."""
    if not images > 0 or math.isinf(images):
        return f"{images:g}"
    digits = 1 - math.floor(math.log10(images))
    return f"{round(images, digits):,.{max(digits, 0)}f}"


def _ratio(noise: Any, square: Any) -> Any:
    """Noise scale of estimates: 0 for noise below 0, infinity for a square that is not above 0."""
    noise, square = np.asarray(noise), np.asarray(square)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(square), np.nan, np.where(square > 0, np.maximum(noise, 0) / square, np.inf))

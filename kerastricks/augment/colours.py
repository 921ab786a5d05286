"""Colour mathematics that ops and layers share: HSV and its random changes, and principal components of colours.

Channels are tensors of their own, (batch, height, width): a reduction over an axis of three is slow under XLA.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from kerastricks.augment.distributions import power

POWER_DRAWS = ("log_uniform", "uniform")


class Changes(NamedTuple):
    """Changes of saturation S, value V and hue, each number (batch,): clip(x^power * factor + shift, 0, 1).

    `turns` is added to the hue.
    """

    saturation_power: Any
    value_power: Any
    saturation_factor: Any
    value_factor: Any
    saturation_shift: Any
    value_shift: Any
    turns: Any


_ROUNDING = 1e-5  # of the value: 0.003 of 255 levels

NEUTRAL = Changes(1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)


class Ranges(NamedTuple):
    """Ranges of the draws, each (low, high), see `kerastricks.layers.RandomHSV`."""

    power_range: tuple[float, float]
    factor_range: tuple[float, float]
    shift_range: tuple[float, float]
    hue_range: tuple[float, float]
    power_draw: str

    def checked(self) -> "Ranges":
        """Converts to floats; raises ValueError for empty ranges, values outside their bounds, and unknown draws."""
        if self.power_draw not in POWER_DRAWS:
            raise ValueError(f'power_draw must be "log_uniform" or "uniform". Received: power_draw={self.power_draw!r}')
        ranges = Ranges(
            _interval("power_range", self.power_range, 0.0, math.inf),
            _interval("factor_range", self.factor_range, 0.0, math.inf),
            _interval("shift_range", self.shift_range, -1.0, 1.0),
            _interval("hue_range", self.hue_range, -1.0, 1.0),
            self.power_draw,
        )
        if not ranges.power_range[0] > 0:
            raise ValueError(
                f"power_range must be above 0: a power of 0 is white. Received: power_range={self.power_range}"
            )
        return ranges

    def draw(self, uniforms: Any, xp: Any) -> Changes:
        """Draws changes by uniforms (batch, 7)."""
        log = self.power_draw == "log_uniform"
        powers = (math.log(self.power_range[0]), math.log(self.power_range[1])) if log else self.power_range
        ranges = [powers] * 2 + [self.factor_range] * 2 + [self.shift_range] * 2 + [self.hue_range]
        drawn = [low + (high - low) * uniforms[:, place] for place, (low, high) in enumerate(ranges)]
        return Changes(*(xp.exp(number) for number in drawn[:2]), *drawn[2:]) if log else Changes(*drawn)


def _interval(name: str, given: tuple[float, float], lowest: float, highest: float) -> tuple[float, float]:
    if np.shape(given) != (2,) or not lowest <= given[0] <= given[1] <= highest or not math.isfinite(given[1]):
        raise ValueError(f"{name} must be (low, high) within [{lowest:g}, {highest:g}]. Received: {name}={given}")
    return float(given[0]), float(given[1])


def jitter(red: Any, green: Any, blue: Any, changes: Changes, xp: Any) -> tuple[Any, Any, Any]:
    """Applies the changes to channels in [0, 1]."""
    hue, saturation, value = to_hsv(red, green, blue, xp)
    change = Changes(*(number[:, None, None] for number in changes))
    saturation = power(saturation, change.saturation_power, xp) * change.saturation_factor + change.saturation_shift
    value = power(value, change.value_power, xp) * change.value_factor + change.value_shift
    return to_rgb(hue + 6.0 * change.turns, xp.clip(saturation, 0.0, 1.0), xp.clip(value, 0.0, 1.0), xp)


# Keras's own conversions are right in value, but hsv_to_rgb has no gradient on TensorFlow.
def to_hsv(red: Any, green: Any, blue: Any, xp: Any) -> tuple[Any, Any, Any]:
    """Converts to hue in sixths of a turn (not wrapped), saturation and value."""
    hue, chroma, value = to_hexagon(red, green, blue, xp)
    return hue, chroma / xp.where(value > 0, value, 1.0), value


def to_rgb(hue: Any, saturation: Any, value: Any, xp: Any) -> tuple[Any, Any, Any]:
    """Inverse conversion; any real `hue` is wrapped."""
    return from_hexagon(hue, value * saturation, value, xp)


def to_hexagon(red: Any, green: Any, blue: Any, xp: Any) -> tuple[Any, Any, Any]:
    """Converts to hue in sixths of a turn (not wrapped), chroma (largest minus smallest channel) and value."""
    value = xp.maximum(xp.maximum(red, green), blue)
    chroma = value - xp.minimum(xp.minimum(red, green), blue)
    # A grey whose channels were rounded apart has no hue that would mean anything: it is grey.
    chroma = xp.where(chroma > _ROUNDING * value, chroma, 0.0)
    span = xp.where(chroma > 0, chroma, 1.0)
    hue = xp.where(
        xp.logical_or(value == red, chroma == 0),
        xp.where(chroma > 0, (green - blue) / span, 0.0),
        xp.where(value == green, 2.0 + (blue - red) / span, 4.0 + (red - green) / span),
    )
    return hue, chroma, value


def from_hexagon(hue: Any, chroma: Any, value: Any, xp: Any) -> tuple[Any, Any, Any]:
    """Inverse conversion; any real `hue` is wrapped."""
    channels = []
    for start in (5.0, 3.0, 1.0):
        # Where the hue is on the hexagon; the channel is lowest from 1 to 3. (mod is slow under XLA.)
        place = hue + start
        place = place - 6.0 * xp.floor(place / 6.0)
        channels.append(value - chroma * xp.clip(xp.minimum(place, 4.0 - place), 0.0, 1.0))
    return channels[0], channels[1], channels[2]


SCALES = ("variance", "stddev")


def principal_colours(eigenvalues: Any, eigenvectors: Any, scale: str, width: float) -> np.ndarray:
    """(3, 3): row k is component k times its strength, in pixel values; draws @ rows are colours.

    Args:
        eigenvalues: (3,), of the covariance of colours in [0, 1].
        eigenvectors: (3, 3), rows R, G, B; one component per column.
        scale: strength is the eigenvalue ("variance") or its square root ("stddev").
        width: high - low of the pixels' range.
    """
    strengths = np.sqrt(eigenvalues) if scale == "stddev" else np.asarray(eigenvalues)
    return (np.asarray(eigenvectors) * strengths).T * width


def eigenpairs(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, descending and non-negative, and eigenvectors, one per column, of a fixed sign.

    The entry of largest magnitude is positive; the first one, where several are as large up to rounding.
    """
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    magnitude = np.abs(vectors)
    leading = np.argmax(magnitude >= magnitude.max(axis=0) * (1 - 1e-6), axis=0)
    return values, vectors * np.where(np.take_along_axis(vectors, leading[None], axis=0) < 0, -1.0, 1.0)

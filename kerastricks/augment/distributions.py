"""From uniform draws to the distributions that ops need."""

import math
from typing import Any


def between(uniforms: Any, low: float, high: float) -> Any:
    """Uniform in [low, high)."""
    return low + (high - low) * uniforms


def integer(uniforms: Any, low: int, high: int, xp: Any) -> Any:
    """An integer from `low` to `high`, both possible, int32."""
    count = high - low + 1
    # A product with a float below 1 may round up to `count`.
    return low + xp.minimum(xp.cast(xp.floor(uniforms * count), "int32"), count - 1)


def log_between(uniforms: Any, low: float, high: float, xp: Any) -> Any:
    """exp of a uniform in [log low, log high)."""
    return xp.exp(between(uniforms, math.log(low), math.log(high)))


def normal(uniforms: Any, stddev: float, xp: Any) -> Any:
    """Normal with mean 0, by the inverse of its distribution; up to 5.3 stddev, all that 24 bits can tell."""
    edge = 2.0**-24
    return stddev * math.sqrt(2) * xp.erfinv(2.0 * xp.clip(uniforms, edge, 1 - edge) - 1.0)


def sign(uniforms: Any, xp: Any) -> Any:
    """-1 or 1, as often."""
    return xp.where(uniforms < 0.5, -1.0, 1.0)


def chosen(uniforms: Any, rate: float) -> Any:
    """True with probability `rate`."""
    return uniforms < rate

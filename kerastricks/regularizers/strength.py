"""What a strength may be, alike for every penalty."""

import math
from numbers import Real


def check_strength(name: str, value: float, zero: bool = True) -> float:
    """`value` as a float; ValueError for what is no finite number, negative, or 0 where `zero` is False."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        rule = "0 or more" if zero else "more than 0"
        raise ValueError(f"{name} must be a finite number, {rule}. Received: {name}={value!r}")
    return float(value)

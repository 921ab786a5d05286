"""Factories of the catalog's specs: durations are fractions of all steps, rates fractions of the peak.

Each function is one entry of `specs.SCHEDULES`: its signature is what a spec may say. It checks the values and names
the class that computes the rate, without importing it.
"""

import math
from typing import Any

from kerastricks.errors import ConfigError
from kerastricks.schedules.specs import CheckedSchedule, number

_OURS = "kerastricks.schedules"
_KERAS = "keras.optimizers.schedules"
_START = 1 / 25  # of the peak, where a warm-up begins


def constant(peak: float, total_steps: int, *, warmup: float = 0.0) -> CheckedSchedule:
    """Constant rate."""
    return CheckedSchedule(peak).warmed_up(_warmup(warmup, total_steps), _START)


def linear(peak: float, total_steps: int, *, warmup: float = 0.2, final: float = 0.0) -> CheckedSchedule:
    """Linear warm-up, linear decay."""
    steps = _warmup(warmup, total_steps)
    arguments = {"total_steps": total_steps, "warmup_steps": steps, "final_fraction": _rate("final", final)}
    return CheckedSchedule(peak, f"{_OURS}:LinearDecay", {"peak": peak, **arguments}, rises=steps > 0)


def cosine(peak: float, total_steps: int, *, warmup: float = 0.05, final: float = 0.0) -> CheckedSchedule:
    """Linear warm-up, half a cosine down."""
    steps = _warmup(warmup, total_steps)
    arguments: dict[str, Any] = {"decay_steps": total_steps - steps, "alpha": _rate("final", final)}
    if steps == 0:
        return CheckedSchedule(peak, f"{_KERAS}:CosineDecay", {"initial_learning_rate": peak, **arguments})
    arguments |= {"initial_learning_rate": peak / 25, "warmup_target": peak, "warmup_steps": steps}
    return CheckedSchedule(peak, f"{_KERAS}:CosineDecay", arguments, rises=True)


def one_cycle(
    peak: float, total_steps: int, *, warmup: float = 0.3, start: float = 1 / 25, final: float = 1e-4
) -> CheckedSchedule:
    """Half a cosine up, half a cosine down."""
    steps = _warmup(warmup, total_steps)
    arguments = {
        "peak": peak,
        "total_steps": total_steps,
        "warmup_steps": steps,
        "start_fraction": _rate("start", start),
        "final_fraction": _rate("final", final),
    }
    return CheckedSchedule(peak, f"{_OURS}:OneCycle", arguments, rises=steps > 0)


def step(
    peak: float,
    total_steps: int,
    *,
    factor: float = 5.0,
    at: tuple[float, ...] | float | None = None,
    every: float | None = None,
    warmup: float = 0.0,
) -> CheckedSchedule:
    """Division by `factor` at the fractions `at`, or after each fraction `every`."""
    _divisor(factor)
    arguments: dict[str, Any] = {"peak": peak, "factor": factor}
    if every is not None:
        if at is not None:
            raise ConfigError(f"schedule: at and every exclude each other. Received: at={at!r}, every={every!r}")
        number("every", every, _between(0, every, 1), "a fraction of all steps, in (0, 1)")
        arguments["every_steps"] = max(round(every * total_steps), 1)
    else:
        fractions = [0.3, 0.6, 0.8] if at is None else [*at] if isinstance(at, tuple | list) else [at]
        for fraction in fractions:
            number("at", fraction, _between(0, fraction, 1), "fractions of all steps, in (0, 1)")
        if not fractions or fractions != sorted(set(fractions)):
            raise ConfigError(f"schedule: at must be fractions that rise. Received: at={at!r}")
        arguments["boundaries"] = [round(fraction * total_steps) for fraction in fractions]
    falling = CheckedSchedule(peak, f"{_OURS}:StepDecay", arguments)
    return falling.warmed_up(_warmup(warmup, total_steps), _START)


def plateau(
    peak: float,
    total_steps: int,
    *,
    factor: float = 2.0,
    patience: int = 5,
    cooldown: int = 0,
    min_rate: float = 0.0,
    min_delta: float = 1e-4,
    monitor: str = "val_loss",
) -> CheckedSchedule:
    """Constant rate, divided by `factor` when `monitor` has not improved for `patience` epochs."""
    _divisor(factor)
    _whole("patience", patience, 1)
    _whole("cooldown", cooldown, 0)
    number("min_rate", min_rate, _between(-1, min_rate, peak) and min_rate >= 0, f"0 or more, and below {peak:g}")
    number("min_delta", min_delta, _between(-1, min_delta, math.inf) and min_delta >= 0, "0 or more")
    if not isinstance(monitor, str) or not monitor:
        raise ConfigError(f"schedule: monitor must be the name of a metric. Received: monitor={monitor!r}")
    arguments: dict[str, Any] = {"factor": factor, "patience_epochs": patience, "cooldown_epochs": cooldown}
    return CheckedSchedule(
        peak, plateau={**arguments, "min_rate": min_rate, "min_delta": min_delta, "monitor": monitor}
    )


def polynomial(
    peak: float, total_steps: int, *, power: float = 2.0, final: float = 0.0, warmup: float = 0.0
) -> CheckedSchedule:
    """Decay with a power of the remaining steps."""
    number("power", power, _between(0, power, math.inf), "above 0")
    arguments = {
        "initial_learning_rate": peak,
        "decay_steps": total_steps,
        "end_learning_rate": peak * _rate("final", final),
        "power": power,
    }
    falling = CheckedSchedule(peak, f"{_KERAS}:PolynomialDecay", arguments)
    return falling.warmed_up(_warmup(warmup, total_steps), _START)


def inverse_sqrt(peak: float, total_steps: int, *, warmup: float = 0.05) -> CheckedSchedule:
    """Linear warm-up, decay with the inverse square root of the steps."""
    arguments = {"peak": peak, "warmup_steps": max(_warmup(warmup, total_steps), 1)}
    return CheckedSchedule(peak, f"{_OURS}:InverseSqrt", arguments, rises=True)


def triangular(peak: float, total_steps: int, *, cycles: int = 4, start: float = 0.25) -> CheckedSchedule:
    """Up and down in `cycles` triangles."""
    return CheckedSchedule(peak, f"{_OURS}:Triangular", _triangles(peak, total_steps, cycles, start), rises=True)


def triangular2(peak: float, total_steps: int, *, cycles: int = 4, start: float = 0.25) -> CheckedSchedule:
    """Up and down in triangles, each half as high as the one before."""
    return CheckedSchedule(peak, f"{_OURS}:Triangular2", _triangles(peak, total_steps, cycles, start), rises=True)


def exponential_cyclical(
    peak: float, total_steps: int, *, cycles: int = 4, start: float = 0.25, end: float = 0.05
) -> CheckedSchedule:
    """Up and down in triangles whose height falls exponentially, to the fraction `end` after all steps."""
    arguments = _triangles(peak, total_steps, cycles, start)
    number("end", end, _between(0, end, 1) or end == 1, "what is left of the height at the end, in (0, 1]")
    arguments["gamma"] = end ** (1 / total_steps)
    return CheckedSchedule(peak, f"{_OURS}:ExponentialCyclical", arguments, rises=True)


def cosine_restarts(
    peak: float, total_steps: int, *, cycles: int = 5, t_mul: float = 1.0, final: float = 0.0
) -> CheckedSchedule:
    """Half a cosine down in each of `cycles` cycles."""
    _whole("cycles", cycles, 1)
    number("t_mul", t_mul, _between(0, t_mul, math.inf), "above 0")
    arguments = {"total_steps": total_steps, "cycles": cycles, "t_mul": t_mul, "final_fraction": _rate("final", final)}
    return CheckedSchedule(peak, f"{_OURS}:CosineRestarts", {"peak": peak, **arguments})


def _warmup(warmup: float, total_steps: int) -> int:
    number("warmup", warmup, _between(-1, warmup, 1) and warmup >= 0, "a fraction of all steps, in [0, 1)")
    return min(round(warmup * total_steps), total_steps - 1)


def _rate(name: str, value: float) -> float:
    number(name, value, _between(-1, value, 2) and 0 <= value <= 1, "a fraction of the peak, in [0, 1]")
    return value


def _divisor(factor: float) -> None:
    number("factor", factor, _between(1, factor, math.inf), "what the rate is divided by, above 1 (2 halves it)")


def _whole(name: str, value: int, least: int) -> None:
    number(name, value, isinstance(value, int) and value >= least, f"a whole number, {least} or more")


def _triangles(peak: float, total_steps: int, cycles: int, start: float) -> dict[str, Any]:
    _whole("cycles", cycles, 1)
    return {"peak": peak, "half_cycle_steps": total_steps / (2 * cycles), "start_fraction": _rate("start", start)}


def _between(low: float, value: Any, high: float) -> bool:
    return isinstance(value, int | float) and low < value < high

"""Schedules by name: the catalog, and specs such as "one_cycle(warmup=0.3)", which are checked without Keras.

What the arguments of a spec mean is in `spec_factories`, the schedules themselves in the modules of their families.
"""

import importlib
import inspect
import math
from dataclasses import dataclass, field
from typing import Any

from kerastricks.errors import ConfigError, SpecError, nearest
from kerastricks.registry import Registry
from kerastricks.spec import Spec, parse


@dataclass(frozen=True)
class ScheduleEntry:
    """A schedule of the catalog.

    Args:
        formula: the rate at step t of T, p being the peak and w the steps of the warm-up.
        serves: class that computes it.
        source: paper.
    """

    formula: str
    serves: str
    source: str


CATALOG = {
    "constant": ScheduleEntry("p", "a float", "-"),
    "linear": ScheduleEntry("rise to p, then p (1 - (t - w) / (T - w))", "LinearDecay", "Li et al. 2020"),
    "cosine": ScheduleEntry(
        "rise to p, then p (1 + cos(pi (t - w) / (T - w))) / 2",
        "keras.optimizers.schedules.CosineDecay",
        "Loshchilov, Hutter 2017",
    ),
    "one_cycle": ScheduleEntry("half a cosine p/25 to p, half a cosine to p/10000", "OneCycle", "Smith 2018"),
    "step": ScheduleEntry("p / factor^k, k: boundaries passed", "StepDecay", "Zagoruyko, Komodakis 2016"),
    "plateau": ScheduleEntry(
        "p / factor^k, k: plateaus of the validation loss", "kerastricks.callbacks.PlateauDecay", "Wei 2015"
    ),
    "polynomial": ScheduleEntry("p (1 - t / T)^power", "keras.optimizers.schedules.PolynomialDecay", "You et al. 2017"),
    "inverse_sqrt": ScheduleEntry("p min(n / w, sqrt(w / n)), n = t + 1", "InverseSqrt", "Vaswani et al. 2017"),
    "triangular": ScheduleEntry("straight lines between p/4 and p", "Triangular", "Smith 2017"),
    "triangular2": ScheduleEntry("triangles over p/4, each half as high", "Triangular2", "Smith 2017"),
    "exponential_cyclical": ScheduleEntry(
        "triangles over p/4, heights fall exponentially", "ExponentialCyclical", "Smith 2017"
    ),
    "cosine_restarts": ScheduleEntry(
        "p (1 + cos(pi x)) / 2, x: 0 to 1 in each cycle", "CosineRestarts", "Huang et al. 2017"
    ),
}

# Each entry makes a `CheckedSchedule` from `peak`, `total_steps` and the arguments of a spec.
SCHEDULES = Registry(
    "schedule", {name: f"kerastricks.schedules.spec_factories:{name}" for name in CATALOG}, "kerastricks schedule"
)


@dataclass(frozen=True)
class CheckedSchedule:
    """A schedule with checked arguments; importing Keras is left to `build`.

    Args:
        peak: the highest learning rate, that of the training's start for "plateau".
        target: "module:Class", or None for a constant rate.
        arguments: of the class; a `CheckedSchedule` among them is built first.
        rises: whether it has a warm-up of its own.
        plateau: for "plateau" only, the arguments of `kerastricks.callbacks.PlateauDecay`.
    """

    peak: float
    target: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    rises: bool = False
    plateau: dict[str, Any] | None = None

    def build(self) -> Any:
        """Builds the Keras schedule, or returns the constant rate as a float."""
        if self.target is None:
            return self.peak
        module, _, attribute = self.target.partition(":")
        importlib.import_module("keras")  # first: its import loads the classes below
        found = getattr(importlib.import_module(module), attribute)
        values = {
            name: each.build() if isinstance(each, CheckedSchedule) else each for name, each in self.arguments.items()
        }
        try:
            return found(**values)
        except ValueError as error:  # what only the number of steps decides: cycles of no step
            raise ConfigError(f"schedule: {' '.join(str(error).split())}") from None

    def warmed_up(self, steps: int, start_fraction: float) -> "CheckedSchedule":
        """Puts a linear warm-up of `steps` in front; 0 steps are none."""
        if steps < 1:
            return self
        target = "kerastricks.schedules.warmup:Warmup"
        arguments = {"schedule": self, "warmup_steps": steps, "start_fraction": start_fraction}
        return CheckedSchedule(self.peak, target, arguments, rises=True)


def read_schedule(text: str | Spec, total_steps: int, peak: float | None = None) -> CheckedSchedule:
    """Reads the spec of a schedule and checks its arguments; imports neither Keras nor NumPy.

    Args:
        text: the spec, also parsed already; without `peak` its first argument is the peak, all others are named.
        total_steps: optimizer steps of the whole training.
        peak: the highest learning rate, where the spec must not name it.

    Returns:
        A `CheckedSchedule`; `build` makes the Keras object.

    Raises:
        UnknownNameError: for an unknown schedule.
        SpecError: for a text that does not parse, or arguments that the schedule does not have.
        ConfigError: for a value outside its range.
    """
    parsed = parse(text) if isinstance(text, str) else text
    maker = SCHEDULES[parsed.name]
    _check_names(parsed, maker)
    if peak is not None and parsed.args:
        raise SpecError(
            f"{parsed}: the peak is learning_rate here: take {parsed.args[0]!r} out of the spec, and set "
            f"learning_rate; other arguments are named ({', '.join(_names(maker)) or 'none'})"
        )
    if peak is None:
        if not parsed.args:
            raise SpecError(f"{parsed}: the peak is missing, the first argument: {parsed.name}(0.1)")
        peak = parsed.args[0]
    number("peak", peak, 0 < _float(peak) < math.inf, "above 0", parsed)
    if not isinstance(total_steps, int) or total_steps < 1:
        raise ConfigError(f"total_steps must be a whole number, 1 or more. Received: total_steps={total_steps!r}")
    return Spec(parsed.name, (), parsed.kwargs).call(maker, peak=peak, total_steps=total_steps)


def number(name: str, value: Any, holds: bool, rule: str, of: object = "schedule") -> None:
    """Raises ConfigError unless `value` is a number and `holds`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not holds:
        raise ConfigError(f"{of}: {name} must be {rule}. Received: {name}={value!r}")


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _names(maker: Any) -> list[str]:
    return [name for name in inspect.signature(maker).parameters if name not in ("peak", "total_steps")]


def _check_names(parsed: Spec, maker: Any) -> None:
    names = _names(maker)
    listed = f"arguments of {parsed.name}: {', '.join(names) or 'none'}"
    if len(parsed.args) > 1:
        raise SpecError(f"{parsed}: only one argument is positional, the peak ({listed})")
    for name in parsed.kwargs:
        if name not in names:
            near = nearest(name, names)
            hint = f": did you mean {', '.join(near)}?" if near else ""
            raise SpecError(f"{parsed}: {parsed.name} has no argument {name!r}{hint} ({listed})")


def get(text: str, total_steps: int, peak: float | None = None) -> Any:
    """Makes the schedule that a spec names.

    Args:
        text: a spec, "one_cycle(0.1)", "step(0.1, factor=5, at=(0.5, 0.75))": the first argument is the peak, the
            others are named. Durations are fractions of all steps, `start` and `final` fractions of the peak;
            `patience` and `cooldown` of "plateau" are epochs. `kerastricks schedule` lists all of them.
        total_steps: optimizer steps of the whole training.
        peak: the highest learning rate, for specs that do not name it: "linear(warmup=0.2)".

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`; a float where the rate stays: "constant", and "plateau",
        whose other half is `kerastricks.callbacks.PlateauDecay`.

    Raises:
        UnknownNameError: for an unknown schedule.
        SpecError: for a text that does not parse, or arguments that the schedule does not have.
        ConfigError: for a value outside its range.

    Example:
        >>> import kerastricks
        >>> rate = kerastricks.schedules.get("step(0.1, factor=5, at=(0.5, 0.75))", total_steps=100)
        >>> round(float(rate(49)), 4), round(float(rate(50)), 4), round(float(rate(75)), 4)
        (0.1, 0.02, 0.004)
        >>> kerastricks.schedules.get("constant", total_steps=100, peak=0.3)
        0.3
    """
    return read_schedule(text, total_steps, peak).build()

"""One parameter of a search space."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kerastricks.bounds import shown
from kerastricks.errors import SpaceError

KINDS = ("float", "int", "choice", "fixed")
SAMPLINGS = ("linear", "log")
_MOST_VALUES = 1000
Value = bool | int | float | str


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter and the values that a search may give it.

    Args:
        name: a field of `Config` ("learning_rate"), an option of the model ("model.dropout") or "augment.strength".
        kind: "float" or "int" (of a range), "choice" (of values) or "fixed" (one value).
        min: smallest of a range.
        max: largest of a range; keras-tuner never draws it for a float without `step`.
        sampling: of a range: "linear" or "log" (uniform over decades; both ends above 0).
        step: between the values of a range; with "log", the factor. None for any value.
        values: of a choice, two or more of one type; of "fixed", one.
        default: the value a search starts from; None takes the smallest or first.
        when: names of other parameters to those of their values with which this one is active; all must hold.
        stands_for: the augmentations of strengths 0, 1, ..., for "augment.strength".

    Raises:
        SpaceError: for a range or choice that is empty, or holds what cannot be drawn.

    Example:
        >>> from kerastricks.search import Parameter
        >>> str(Parameter("learning_rate", "float", min=0.001, max=0.1, sampling="log"))
        '0.001-0.1 log'
    """

    name: str
    kind: str
    min: float | None = None
    max: float | None = None
    sampling: str = "linear"
    step: float | None = None
    values: tuple[Value, ...] = ()
    default: Value | None = None
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    stands_for: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check(self.kind in KINDS, f"kind must be one of {', '.join(KINDS)}", self.kind)
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "stands_for", tuple(self.stands_for))
        object.__setattr__(self, "when", {parent: tuple(allowed) for parent, allowed in self.when.items()})
        for parent, allowed in self.when.items():
            self._check(len(allowed) > 0, f"when must name a value of {parent}", allowed)
        if self.kind in ("float", "int"):
            self._check_range()
        else:
            self._check_values()
        if self.default is not None:
            self._check(self.takes(self.default), "default must be one of its values", self.default)

    def __str__(self) -> str:
        """Formats the values: "0.001-0.1 log", "64, 128 when optimizer=adamw"."""
        if self.kind == "fixed":
            text = f"{self.values[0]} fixed"
        elif self.kind == "choice":
            text = ", ".join(map(str, self.values))
        else:
            text = f"{self.min:g}-{self.max:g}"
            text += f" in steps of {self.step:g}" if self.step is not None else ""
            text += " log" if self.sampling == "log" else ""
        conditions = [f"{parent}={' or '.join(map(str, allowed))}" for parent, allowed in self.when.items()]
        return text + (f" when {' and '.join(conditions)}" if conditions else "")

    @property
    def start(self) -> Value:
        """The default; without one the smallest of a range, the first of a choice."""
        if self.default is not None:
            return self.default
        return self.min if self.kind in ("float", "int") else self.values[0]  # type: ignore[return-value]

    def takes(self, value: Any) -> bool:
        """Whether `value` is one of its values."""
        if self.kind in ("choice", "fixed"):
            return any(value == own and isinstance(value, str) == isinstance(own, str) for own in self.values)
        fits = _is_number(value) and (self.kind == "float" or float(value).is_integer())
        return fits and self.min <= value <= self.max

    def own(self, value: Any) -> Value:
        """Converts `value` to the type of its values: keras-tuner or JSON may return 1 for True.

        Raises:
            SpaceError: for a value that is not one of its own.
        """
        if not self.takes(value):
            raise SpaceError(f"{self.name}: is {self}. Received: {value!r}")
        if self.kind in ("float", "int"):
            return float(value) if self.kind == "float" else int(value)
        return next(own for own in self.values if own == value)

    def tried(self) -> tuple[Value, ...]:
        """The values to check: the ends of a range, or each of a choice."""
        ends = () if self.kind in ("choice", "fixed") else (self.min, self.max)
        return tuple(self.own(value) for value in (*self.values, *ends))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; equal for equal parameters."""
        lists = {"values": list(self.values), "stands_for": list(self.stands_for)}
        return {**asdict(self), **lists, "when": {name: list(allowed) for name, allowed in self.when.items()}}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Parameter":
        """The inverse of `to_dict`."""
        return cls(**record)

    def _check(self, holds: bool, rule: str, received: Any) -> None:
        if not holds:
            raise SpaceError(f"{self.name}: {rule}. Received: {shown(received)}")

    def _check_range(self) -> None:
        for key in ("min", "max"):
            value = getattr(self, key)
            self._check(_is_number(value), f"{key} must be a finite number", value)
            whole = float(value).is_integer()
            self._check(whole or self.kind == "float", f"{key} must be an integer", value)
            object.__setattr__(self, key, float(value) if self.kind == "float" else int(value))
        assert self.min is not None
        assert self.max is not None
        self._check(not self.values, "takes min and max, or values", self.values)
        self._check(self.min < self.max, "min must be below max", f"min={self.min:g}, max={self.max:g}")
        self._check(self.sampling in SAMPLINGS, f"sampling must be one of {', '.join(SAMPLINGS)}", self.sampling)
        self._check(self.sampling == "linear" or self.min > 0, "min must be above 0 with sampling='log'", self.min)
        if self.step is not None:
            self._check(_is_number(self.step), "step must be a number", self.step)
            least, reach = (1, self.max / self.min) if self.sampling == "log" else (0, self.max - self.min)
            rule = f"step must be above {least}, and at most {reach:g}, or no second value is reached"
            self._check(least < self.step <= reach * (1 + 1e-9), rule, self.step)
            self._check(self.kind == "float" or float(self.step).is_integer(), "step must be an integer", self.step)

    def _check_values(self) -> None:
        self._check(self.min is None and self.max is None, "takes min and max, or values", (self.min, self.max))
        self._check(self.step is None, "step is for a range of numbers", self.step)
        rule = f"values must be at most {_MOST_VALUES:,}: a range has min and max"
        self._check(len(self.values) <= _MOST_VALUES, rule, len(self.values))
        for value in self.values:
            known = isinstance(value, bool | str) or _is_number(value)
            self._check(known, "values must be numbers, text, true or false", value)
        types = {"text" if isinstance(v, str) else "bool" if isinstance(v, bool) else "number" for v in self.values}
        self._check(len(types) <= 1, "values must be of one type", list(self.values))
        twice = [value for index, value in enumerate(self.values) if value in self.values[:index]]
        self._check(not twice, "values must differ, and one is there twice", twice[0] if twice else None)
        if self.kind == "fixed":
            self._check(len(self.values) == 1, "a fixed parameter has one value", list(self.values))
        else:
            self._check(len(self.values) >= 1, "values must hold at least one", list(self.values))
        if any(isinstance(value, float) for value in self.values):  # keras-tuner takes the first's type for all
            object.__setattr__(self, "values", tuple(float(value) for value in self.values))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)

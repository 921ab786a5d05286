"""Axes from 0 to 1 for the values of one name, and short formats of values and scores."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_FEW = 8  # values at most, of a scale that holds 0 and becomes categories


def short_value(value: Any, limit: int = 32) -> str:
    """Formats a value: 0.00316, 3.2e-5, 128, true; a long name is cut.

    Args:
        value: a number, a string, a boolean, None or anything with a name.
        limit: the most characters.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, float):
        return _mended(f"{value:.3g}")
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def short_score(score: float | None) -> str:
    """Formats a score: 0.4312, 12.35, 3.1e-5; a dash where there is none."""
    if score is None or not math.isfinite(score):
        return "-"
    size = abs(score)
    if size == 0 or 1e-3 <= size < 10:
        return f"{score:.4f}"
    return f"{score:.2f}" if 10 <= size < 1e4 else _mended(f"{score:.4g}")


def _mended(text: str) -> str:
    """Shortens 3.2e-05 to 3.2e-5."""
    head, e, exponent = text.partition("e")
    return f"{head}e{int(exponent)}" if e else head


@dataclass(frozen=True)
class ValueAxis:
    """An axis for the values of one name.

    Args:
        name: of the value.
        kind: "log" and "linear" for numbers; "category" for names, and for numbers that are no scale (0, 1e-4, 5e-4).
        values: the different ones, in order.
        sometimes: whether some points lack it.
    """

    name: str
    kind: str
    values: tuple[Any, ...]
    sometimes: bool

    @property
    def constant(self) -> bool:
        """Whether every point has the same value."""
        return len(self.values) == 1 and not self.sometimes

    def place(self, value: Any) -> float:
        """The position of a value."""
        if self.kind == "category":
            return (self.values.index(_key(value)) + 0.5) / len(self.values)
        low, high = self._scaled(self.values[0]), self._scaled(self.values[-1])
        return 0.5 if low == high else (self._scaled(value) - low) / (high - low)

    def place_of_level(self, index: int) -> float:
        """The position of the value at an index of `values`."""
        return (index + 0.5) / len(self.values) if self.kind == "category" else self.place(self.values[index])

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels of the ticks."""
        if self.kind == "category" or len(self.values) <= 5:
            every = math.ceil(len(self.values) / 12)
            return [(self.place_of_level(i), _label(self.values[i])) for i in range(0, len(self.values), every)]
        taken = [(self.place(end), _label(end)) for end in (self.values[0], self.values[-1])]
        for number in self._round_numbers():
            if all(abs(self.place(number) - place) > 0.09 for place, _ in taken):
                taken.append((self.place(number), _label(number)))
        return sorted(taken)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.kind == "log" else float(value)

    def _round_numbers(self) -> list[float]:
        low, high = self.values[0], self.values[-1]
        if self.kind == "log":
            decades = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
            steps = (1.0,) if len(decades) > 2 else (1.0, 3.0)
            return [
                step * 10.0**decade for step in steps for decade in (decades or ()) if low < step * 10.0**decade < high
            ]
        step = 10.0 ** math.floor(math.log10(high - low))
        step = next(step * part for part in (0.2, 0.5, 1.0, 2.0) if (high - low) / (step * part) <= 6)
        return [step * index for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def value_axes(rows: Sequence[Mapping[str, Any]], log_names: Collection[str] | None = None) -> list[ValueAxis]:
    """Creates an axis for each name in the rows, in the order of their first appearance.

    Args:
        rows: name to value, one mapping for each point.
        log_names: those whose scale is logarithmic; by default those that look so.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [_axis(name, rows, log_names) for name in names]


def _axis(name: str, rows: Sequence[Mapping[str, Any]], log_names: Collection[str] | None) -> ValueAxis:
    found = [row[name] for row in rows if name in row]
    sometimes = len(found) < len(rows)
    if not all(_is_number(value) for value in found):
        kinds = {_key(value) for value in found}
        numbers = sorted(value for value in kinds if _is_number(value))
        return ValueAxis(name, "category", (*numbers, *sorted(kinds - set(numbers), key=str)), sometimes)
    values = tuple(sorted(set(found)))
    positive = [value for value in values if value > 0]
    log = _looks_logarithmic(positive) if log_names is None else name in log_names
    if log and len(positive) < len(values):
        return ValueAxis(name, "category" if len(values) <= _FEW else "linear", values, sometimes)
    return ValueAxis(name, "log" if log and len(values) > 1 else "linear", values, sometimes)


def _looks_logarithmic(values: Sequence[float]) -> bool:
    if len(values) < 2:
        return False
    if all(isinstance(value, int) for value in values):
        return all(value & (value - 1) == 0 for value in values if isinstance(value, int))
    # Numbers drawn evenly between two bounds may span decades as well, but half of them lie in the upper half.
    middle = (values[(len(values) - 1) // 2] - values[0]) / (values[-1] - values[0])
    return values[-1] / values[0] >= 20 and middle < 0.25


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _key(value: Any) -> Any:
    """The identity of a value on an axis of names: true and 1 differ."""
    return value if _is_number(value) else short_value(value, limit=10_000)


def _label(value: Any) -> str:
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        head, exponent = f"{value:.1e}".split("e")
        return f"{head.removesuffix('.0')}e{int(exponent)}"
    return short_value(float(f"{value:.2g}") if isinstance(value, float) else value, limit=15)

"""Rows of a log as they are read: the columns that matter, thinned where a log is longer than memory should hold."""

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

# Rows of steps that are kept. Beyond it every second block is dropped, so that neighbours stay neighbours: the band of
# the loss is measured between consecutive steps.
MOST_ROWS = 1 << 19
BLOCK = 64
_VALIDATION = ("val_loss", "val_accuracy")


class Rows:
    """Collects rows of numbers, in columns.

    Args:
        quantities: names of the columns.
        most: rows without a validation value that are kept.
    """

    def __init__(self, quantities: Sequence[str], most: int = MOST_ROWS) -> None:
        self.quantities = tuple(quantities)
        self.most = most
        self.read = 0
        self.stride = 1
        self._columns = [array("d") for _ in self.quantities]
        self._numbers = array("q")
        self._checked = [place for place, name in enumerate(self.quantities) if name in _VALIDATION]

    def append(self, values: Sequence[float]) -> None:
        """Append a row; NaN for what is missing."""
        number = self.read
        self.read += 1
        if number // BLOCK % self.stride and all(math.isnan(values[place]) for place in self._checked):
            return
        self._numbers.append(number)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        if len(self._numbers) > self.most:
            self._thin()

    def _thin(self) -> None:
        self.stride *= 2
        numbers = np.frombuffer(self._numbers, np.int64)
        keep = numbers // BLOCK % self.stride == 0
        for place in self._checked:
            keep |= ~np.isnan(np.frombuffer(self._columns[place], np.float64))
        if keep.sum() > self.most // 2:
            self.most = 2 * int(keep.sum())  # mostly validation rows, which all stay
        kept = [array("d", np.frombuffer(column, np.float64)[keep].tobytes()) for column in self._columns]
        kept_numbers = array("q", numbers[keep].tobytes())
        del numbers
        self._columns, self._numbers = kept, kept_numbers

    def columns(self) -> dict[str, np.ndarray]:
        """The rows that were kept, as arrays."""
        found = {name: np.array(column) for name, column in zip(self.quantities, self._columns, strict=True)}
        if "step" not in found and self.stride > 1:
            found["step"] = np.array(self._numbers, np.float64)
        return {name: values for name, values in found.items() if not np.isnan(values).all()}

    def notes(self) -> tuple[str, ...]:
        """Notes on rows that were left out."""
        if self.stride == 1:
            return ()
        return (f"{self.read:,} rows: blocks of {BLOCK} consecutive ones were read, one of {self.stride} blocks",)


def number(value: Any, loss: bool = True) -> float:
    """A cell as a number: NaN where it is empty, infinite for a loss that is NaN or infinite.

    Raises:
        ValueError: for other text.
    """
    if value is None or isinstance(value, bool):
        return math.nan
    if isinstance(value, str):
        value = value.strip().strip('"')
        if not value:
            return math.nan
        percent = value.endswith("%")
        value = float(value.removesuffix("%")) / (100 if percent else 1)
    try:
        found = float(value)
    except OverflowError:  # an integer that is larger than any float
        found = math.inf
    except TypeError:
        raise ValueError(f"{value!r:.60} is no number") from None
    return found if math.isfinite(found) else (math.inf if loss else math.nan)


def of_records(records: Iterable[Mapping[str, Any]], choose: Callable[[Iterable[str]], dict[str, str]]) -> Rows:
    """Rows of records, which are gone through twice; `choose` maps quantities to the names of all of them."""
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
    chosen = choose(names)
    rows = Rows(tuple(chosen))
    for record in records:
        values = []
        for quantity, name in chosen.items():
            cell = record.get(name)
            values.append(number(cell if not isinstance(cell, (list, dict)) else None, "loss" in quantity))
        if not all(math.isnan(value) for value in values):
            rows.append(values)
    return rows

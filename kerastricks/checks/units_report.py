"""What `checks.units` found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastricks.checks.plots import draw_units
from kerastricks.checks.table import table

_NAMED = 5  # layers named in a verdict


@dataclass(frozen=True)
class UnitsRow:
    """One layer with a kernel.

    Args:
        layer: its name, "block/conv" inside another model.
        is_head: whether its units are the classes, which the labels tell apart.
        units: of its output, before any activation.
        groups: the units with equal incoming weights, for each group of two or more.
        groups_after: the units with equal outputs after the steps, for each group of two or more.
        distinct_weights: how many different units there are by their weights; None where units see different inputs.
        distinct_outputs: by their outputs on the images; None without images.
        distinct_weights_after: after the steps.
        distinct_outputs_after: after the steps.
    """

    layer: str
    is_head: bool
    units: int
    groups: tuple[tuple[int, ...], ...]
    groups_after: tuple[tuple[int, ...], ...]
    distinct_weights: int | None
    distinct_outputs: int | None
    distinct_weights_after: int | None
    distinct_outputs_after: int | None


@dataclass(frozen=True)
class UnitsReport:
    """Units that are the same, layer by layer.

    Args:
        model: its name.
        images: how many were used; 0 where the weights alone were compared.
        steps: of training between "at the start" and "after".
        rows: in the order in which the layers are called.
    """

    model: str
    images: int
    steps: int
    rows: tuple[UnitsRow, ...]

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A line for each kind of finding."""
        hidden = [row for row in self.rows if not row.is_head]
        if not self.images:
            same = [(row.layer, row.distinct_weights, row.units) for row in hidden]
            where = _where(same)
            more = "give images to see whether training tells them apart"
            return (f"equal weights: {where}; {more}",) if where else ("no two units have equal weights",)
        found = []
        stay = _where([(row.layer, row.distinct_outputs_after, row.units) for row in hidden])
        if stay:
            found.append(
                f"same units after {self.steps} steps: {stay}; equal units get equal gradients and stay equal: start "
                "from random weights, such as he_normal"
            )
        parted = [
            (row.layer, row.distinct_outputs, row.units)
            for row in hidden
            if row.distinct_outputs_after == row.units and row.distinct_outputs != row.units
        ]
        if parted:
            found.append(f"same units at the start that {self.steps} steps told apart: {_where(parted)}")
        return tuple(found) or (f"no two units are the same, neither at the start nor after {self.steps} steps",)

    def to_text(self) -> str:
        """A table and the verdicts."""
        header = ["layer", "units", "different weights"]
        if self.images:
            header += ["different outputs", f"weights after {self.steps} steps", "outputs after"]
        rows = []
        for row in self.rows:
            cells = [row.layer + (" (classes)" if row.is_head else ""), str(row.units), _text(row.distinct_weights)]
            if self.images:
                after = (row.distinct_outputs, row.distinct_weights_after, row.distinct_outputs_after)
                cells += [_text(count) for count in after]
            rows.append(cells)
        on = f" on {self.images:,} images" if self.images else ""
        return "\n".join([f"{self.model}: same units{on}", "", table(header, rows, left=1), "", *self.verdicts])

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "model": self.model,
            "images": self.images,
            "steps": self.steps,
            "verdicts": list(self.verdicts),
            "layers": [
                {
                    "layer": row.layer,
                    "is_head": row.is_head,
                    "units": row.units,
                    "groups": [list(group) for group in row.groups],
                    "groups_after": [list(group) for group in row.groups_after],
                    "distinct_weights": row.distinct_weights,
                    "distinct_outputs": row.distinct_outputs,
                    "distinct_weights_after": row.distinct_weights_after,
                    "distinct_outputs_after": row.distinct_outputs_after,
                }
                for row in self.rows
            ],
        }

    def plot(self, path: Path | str) -> None:
        """Draws the share of different units by layer, as a PNG."""

        def shares(counts: list[int | None]) -> list[float]:
            return [(count or 0) / row.units for count, row in zip(counts, self.rows, strict=True) if row.units]

        bars = {"by weights": shares([row.distinct_weights for row in self.rows])}
        if self.images:
            bars = {
                "outputs at the start": shares([row.distinct_outputs for row in self.rows]),
                f"outputs after {self.steps} steps": shares([row.distinct_outputs_after for row in self.rows]),
            }
        names = [row.layer for row in self.rows]
        draw_units(f"{self.model}: different units", names, bars, "different units, share of all", Path(path))


def _text(count: int | None) -> str:
    return "-" if count is None else str(count)


def _where(counts: list[tuple[str, int | None, int]]) -> str:
    """ "all 128 units of dense1 are one, 100 of 128 in dense2 are different"; "" where all are different."""
    found = [(layer, count, units) for layer, count, units in counts if count is not None and count < units]
    ones = [(layer, units) for layer, count, units in found if count == 1]
    others = [(layer, count, units) for layer, count, units in found if count != 1]
    parts = []
    if ones and len(ones) == len(counts) > 1:
        parts.append(f"each of the {len(ones)} hidden layers is one unit, many times over")
    else:
        parts += [f"the {units} units of {layer} are one" for layer, units in ones[:_NAMED]]
        parts += [f"{len(ones) - _NAMED} more such layers"] if len(ones) > _NAMED else []
    parts += [f"{count} different ones among {units} in {layer}" for layer, count, units in others[:_NAMED]]
    parts += [f"{len(others) - _NAMED} more such layers"] if len(others) > _NAMED else []
    return ", ".join(parts)

"""What `checks.activation` found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastricks.checks.plots import draw_units
from kerastricks.checks.table import finite, number, table

_NAMED = 5  # layers named in a verdict


@dataclass(frozen=True)
class ActivationRow:
    """One activation.

    Args:
        layer: its name, "block/relu" inside another model, "conv:relu" for a layer's own.
        activation: its name.
        units: channels.
        dead: how many are never above 0; None for an activation that knows no dead units.
        saturated: how many lie at a bound for nearly all images; None for one that has no bound.
        bound_share: of all outputs, those at a bound; None for one that has none.
        zero_share: of all outputs, those that are exactly 0.
        mean: of the outputs.
        variance: of the outputs.
        finite: whether all outputs are numbers.
    """

    layer: str
    activation: str
    units: int
    dead: int | None
    saturated: int | None
    bound_share: float | None
    zero_share: float
    mean: float
    variance: float
    finite: bool

    @property
    def dead_share(self) -> float:
        """Of the units; 0 where there are no dead units."""
        return (self.dead or 0) / self.units

    @property
    def saturated_share(self) -> float:
        """Of the units; 0 where there is no bound."""
        return (self.saturated or 0) / self.units


@dataclass(frozen=True)
class ActivationReport:
    """Dead and saturated units of every activation.

    Args:
        model: its name.
        images: how many were used.
        rows: in the order in which the activations are called.
    """

    model: str
    images: int
    rows: tuple[ActivationRow, ...]

    @property
    def _hidden(self) -> tuple[ActivationRow, ...]:
        """Without the softmax: a classifier that is sure of itself is no finding."""
        return tuple(row for row in self.rows if row.activation != "softmax")

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A line for each kind of finding."""
        hidden, found = self._hidden, []
        for row in hidden:
            if not row.finite:
                found.append(f"not finite: {row.layer} gives NaN or infinity: nothing behind it can be judged")
                break
        if any(row.dead for row in hidden):
            where = _where([(row.layer, row.dead or 0, row.units) for row in hidden])
            found.append(
                f"dead units: {where}: never above 0 on {self.images:,} images; a smaller learning rate "
                "or leaky_relu keeps units alive"
            )
        if any(row.saturated for row in hidden):
            where = _where([(row.layer, row.saturated or 0, row.units) for row in hidden])
            found.append(
                f"saturated units: {where}: at a bound, where no gradient passes; smaller weights, normalised inputs "
                "or relu free them"
            )
        pressed = [row for row in hidden if row.bound_share is not None and row.bound_share > 0.5]
        if pressed:
            named = ", ".join(f"{row.bound_share:.0%} in {row.layer}" for row in pressed[:_NAMED])
            rest = f" and more than half in {len(pressed) - _NAMED} more" if len(pressed) > _NAMED else ""
            found.append(f"outputs at a bound: {named}{rest}: the gradient is all but lost there")
        return tuple(found) or ("no dead and no saturated units",)

    def to_text(self) -> str:
        """A table and the verdicts."""
        header = ("layer", "activation", "units", "dead", "saturated", "at bound", "zero", "mean", "variance")
        rows = [
            (
                row.layer,
                row.activation,
                str(row.units),
                "-" if row.dead is None else f"{row.dead} ({row.dead_share:.0%})",
                "-" if row.saturated is None else f"{row.saturated} ({row.saturated_share:.0%})",
                "-" if row.bound_share is None else f"{row.bound_share:.1%}",
                f"{row.zero_share:.1%}",
                number(row.mean),
                number(row.variance),
            )
            for row in self.rows
        ]
        title = f"{self.model}: units on {self.images:,} images"
        return "\n".join([title, "", table(header, rows, left=2), "", *self.verdicts])

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; NaN and infinity are None."""
        return {
            "model": self.model,
            "images": self.images,
            "verdicts": list(self.verdicts),
            "layers": [
                {
                    "layer": row.layer,
                    "activation": row.activation,
                    "units": row.units,
                    "dead": row.dead,
                    "saturated": row.saturated,
                    "bound_share": row.bound_share,
                    "zero_share": row.zero_share,
                    "mean": finite(row.mean),
                    "variance": finite(row.variance),
                }
                for row in self.rows
            ],
        }

    def plot(self, path: Path | str) -> None:
        """Draws the shares of dead and saturated units by layer, as a PNG."""
        rows = self._hidden or self.rows
        bars = {"dead": [row.dead_share for row in rows], "saturated": [row.saturated_share for row in rows]}
        if any(row.bound_share is not None for row in rows):
            bars["outputs at a bound"] = [row.bound_share or 0.0 for row in rows]
        names = [row.layer for row in rows]
        draw_units(f"{self.model}: units on {self.images:,} images", names, bars, "share", Path(path))


def _where(counts: list[tuple[str, int, int]]) -> str:
    """ "12 of 128 in dense2, 3 of 128 in dense4 and 1 in 1 more layer", the worst first."""
    counts = sorted((count for count in counts if count[1]), key=lambda count: -count[1] / count[2])
    named = ", ".join(f"{count} of {units} in {layer}" for layer, count, units in counts[:_NAMED])
    rest = counts[_NAMED:]
    return f"{named} and {sum(count for _, count, _ in rest)} in {len(rest)} more" if rest else named

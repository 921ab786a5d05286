"""What LSUV did to each kernel."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LSUVRow:
    """One kernel.

    Args:
        layer: name of the layer, "model/layer" in a nested model.
        kind: class of the layer, with the kernel's name where it has several.
        rounds: how often the kernel was rescaled.
        start_variance: of the pre-activation with the kernel that it started from; None if it was not measured or
            is not finite.
        variance: the same with the kernel that it was left with.
        converged: whether `variance` is within the tolerance of 1; None for a kernel that was left alone.
        note: why it was left alone or did not converge; "" otherwise.
    """

    layer: str
    kind: str
    rounds: int = 0
    start_variance: float | None = None
    variance: float | None = None
    converged: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class LSUVReport:
    """What `lsuv` did: a row per kernel in order of execution; `str(report)` is a table.

    Args:
        rows: one `LSUVRow` per kernel.
        images: how many were looked at.
        tolerance: as it was asked for.
        max_rounds: as it was asked for.
    """

    rows: tuple[LSUVRow, ...]
    images: int
    tolerance: float
    max_rounds: int

    @property
    def converged(self) -> bool:
        """Whether every kernel that was not left alone ended within the tolerance."""
        return all(row.converged is not False for row in self.rows)

    def to_text(self) -> str:
        """A head line and a table."""
        treated = [row for row in self.rows if row.converged is not None]
        head = (
            f"LSUV on {self.images} images: {sum(bool(row.converged) for row in treated)} of {len(treated)} kernels "
            f"have a pre-activation variance within {self.tolerance:g} of 1"
        )
        if len(treated) < len(self.rows):
            head += f", {len(self.rows) - len(treated)} left alone"
        if not self.rows:
            return head
        cells = [("layer", "kind", "rounds", "before", "after", "")]
        cells += [
            (row.layer, row.kind, str(row.rounds), _number(row.start_variance), _number(row.variance), _remark(row))
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in cells) for column in range(5)]
        table = [
            f"{line[0]:<{widths[0]}}  {line[1]:<{widths[1]}}  {line[2]:>{widths[2]}}  {line[3]:>{widths[3]}}  "
            f"{line[4]:>{widths[4]}}  {line[5]}".rstrip()
            for line in cells
        ]
        return "\n".join([head, *table])

    def __str__(self) -> str:
        return self.to_text()

    def to_json(self) -> dict[str, Any]:
        """All of it in plain values: `converged`, `rows`, `images`, `tolerance`, `max_rounds`."""
        return {"converged": self.converged, **asdict(self)}


def _number(variance: float | None) -> str:
    return "-" if variance is None else f"{variance:.4g}"


def _remark(row: LSUVRow) -> str:
    return f"left alone: {row.note}" if row.converged is None else row.note

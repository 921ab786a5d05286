"""Dead and saturated units of every activation, on given images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.checks.activation_kinds import ActivationKind
from kerastricks.checks.images import batches, functional, positive, random_state_kept
from kerastricks.checks.instrument import Instrument, Place, Probe, look
from kerastricks.checks.reporting import finite_or_none, format_number, format_table, plot_units
from kerastricks.errors import UsageError

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
        bound_share: share of all outputs that are at a bound; None for an activation without one.
        zero_share: share of all outputs that are exactly 0.
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
        """Share of the units that are dead; 0 where the activation knows none."""
        return (self.dead or 0) / self.units

    @property
    def saturated_share(self) -> float:
        """Share of the units that are saturated; 0 where the activation has no bound."""
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
        """All rows but the softmax: a confident classifier is no finding."""
        return tuple(row for row in self.rows if row.activation != "softmax")

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A line for each kind of finding."""
        hidden, found = self._hidden, []
        for row in hidden:
            if not row.finite:
                found.append(f"not finite: {row.layer} gives NaN or infinity: nothing after it can be judged")
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
        """Formats a table and the verdicts."""
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
                format_number(row.mean),
                format_number(row.variance),
            )
            for row in self.rows
        ]
        title = f"{self.model}: units on {self.images:,} images"
        return "\n".join([title, "", format_table(header, rows, left=2), "", *self.verdicts])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinity are None."""
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
                    "mean": finite_or_none(row.mean),
                    "variance": finite_or_none(row.variance),
                }
                for row in self.rows
            ],
        }

    def plot(self, path: Path | str) -> None:
        """Plots the shares of dead and saturated units by layer, as a PNG."""
        rows = self._hidden or self.rows
        bars = {"dead": [row.dead_share for row in rows], "saturated": [row.saturated_share for row in rows]}
        if any(row.bound_share is not None for row in rows):
            bars["outputs at a bound"] = [row.bound_share or 0.0 for row in rows]
        names = [row.layer for row in rows]
        plot_units(f"{self.model}: units on {self.images:,} images", names, bars, "share", Path(path))


def _where(counts: list[tuple[str, int, int]]) -> str:
    """ "12 of 128 in dense2, 3 of 128 in dense4 and 1 in 1 more layer", the worst first."""
    counts = sorted((count for count in counts if count[1]), key=lambda count: -count[1] / count[2])
    named = ", ".join(f"{count} of {units} in {layer}" for layer, count, units in counts[:_NAMED])
    rest = counts[_NAMED:]
    return f"{named} and {sum(count for _, count, _ in rest)} in {len(rest)} more" if rest else named


def check_activations(
    model: keras.Model,
    images: Any,
    *,
    batch_size: int = 64,
    bound_tolerance: float = 0.01,
    saturated_rate: float = 0.95,
) -> ActivationReport:
    """Counts dead and saturated units of every activation, as the model predicts.

    A dead unit (a channel, the last axis) gives 0 for every image at every position; a leaky one is counted when it
    is never above 0. It gets no gradient from these images, or only the slope's, and a ReLU does not come back. A
    saturated unit of a bounded activation lies at a bound, where the slope is all but 0. Data that is not like the
    training data may leave units silent that are alive there: give images the model was meant for.

    Args:
        model: functional or Sequential; left as it is.
        images: (N, height, width, channels) as the model takes them, or an iterable of batches, or of (batch,
            labels). Batches are looked at one after the other: memory does not grow.
        batch_size: images at a time.
        bound_tolerance: how near a bound is at it, as a fraction of the distance between the bounds; 0 to 0.5.
        saturated_rate: a unit is saturated when more than this fraction of its outputs are at a bound; 0 to 1.

    Returns:
        An `ActivationReport`: `to_text()`, `to_json()`, `plot(path)`.

    Raises:
        UsageError: for a model that cannot be copied layer by layer, without activations, and for images that do
            not fit it.

    Example:
        >>> import keras, kerastricks, numpy
        >>> images = numpy.random.default_rng(0).uniform(0, 1, (32, 4, 4, 1))
        >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(8, 3, activation="relu")])
        >>> bias = model.layers[0].bias.assign([-100.0] * 3 + [100.0] * 5)
        >>> kerastricks.checks.check_activations(model, images).rows[0].dead
        3
    """
    positive("batch_size", batch_size, 1)
    for name, value, highest in (("bound_tolerance", bound_tolerance, 0.5), ("saturated_rate", saturated_rate, 1.0)):
        if not 0 <= value <= highest:
            raise UsageError(f"{name} must be in [0, {highest:g}]. Received: {name}={value!r}")
    plain = functional(model)
    counters: list[tuple[Place, _Counter]] = []

    def tap(place: Place, tensor: Any) -> Any:
        if place.activation is None:
            return tensor
        counter = _Counter(place.activation, bound_tolerance)
        counters.append((place, counter))
        return Probe(counter.add, len(counters), place)(tensor)

    instrument = None
    count = 0
    with random_state_kept(0):
        for batch in batches(images, plain, batch_size):
            instrument = instrument or Instrument(model, plain.inputs[0].shape[1:], tap, to_logits=False)
            if not counters:
                raise UsageError(f"model has no activation. Received: {model.name!r}")
            look(instrument.model, batch)
            count += len(batch)
    rows = tuple(counter.row(place.name, saturated_rate) for place, counter in counters)
    return ActivationReport(model.name, count, rows)


class _Counter:
    """Running statistics of an activation's outputs, per unit."""

    def __init__(self, kind: ActivationKind, tolerance: float) -> None:
        self.kind = kind
        self.margin = tolerance * kind.span
        self.count = 0  # outputs of each unit
        self.highest: Any = None
        self.zeros: Any = 0
        self.at_bound: Any = 0
        self.mean = 0.0
        self.squares = 0.0

    def add(self, outputs: np.ndarray) -> None:
        """Adds a batch (..., units)."""
        rows = outputs.reshape(-1, outputs.shape[-1])
        highest = rows.max(axis=0)
        self.highest = highest if self.highest is None else np.maximum(self.highest, highest)
        self.zeros = self.zeros + (rows == 0).sum(axis=0)
        for bound in self.kind.bounds:
            self.at_bound = self.at_bound + (np.abs(rows - bound) <= self.margin).sum(axis=0)
        # Mean and variance over all of it: Chan, Golub, LeVeque 1983.
        mean, variance = float(rows.mean(dtype="float64")), float(rows.var(dtype="float64"))
        total, gap = self.count + len(rows), mean - self.mean
        self.mean += gap * len(rows) / total
        self.squares += variance * len(rows) + gap**2 * self.count * len(rows) / total
        self.count = total

    def row(self, name: str, saturated_rate: float) -> ActivationRow:
        """Converts the sums into shares."""
        return ActivationRow(
            layer=name,
            activation=self.kind.name,
            units=len(self.highest),
            dead=int((self.highest <= 0).sum()) if self.kind.rectifies else None,
            saturated=int((self.at_bound > saturated_rate * self.count).sum()) if self.kind.bounds else None,
            bound_share=float(np.mean(self.at_bound) / self.count) if self.kind.bounds else None,
            zero_share=float(np.mean(self.zeros) / self.count),
            mean=self.mean,
            variance=self.squares / self.count,
            finite=bool(np.isfinite(self.squares)),
        )

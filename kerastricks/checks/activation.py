"""Units that have stopped working, on given data."""

from typing import Any

import keras
import numpy as np

from kerastricks.checks.activation_check import ActivationReport, ActivationRow
from kerastricks.checks.activation_kinds import ActivationKind
from kerastricks.checks.images import batches, functional, positive
from kerastricks.checks.instrument import Instrument, Place
from kerastricks.checks.probe import Probe, look
from kerastricks.checks.random_state import random_state_kept
from kerastricks.errors import UsageError


def activation(
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
        >>> kerastricks.checks.activation(model, images).rows[0].dead
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
    """What is known of an activation's outputs so far, per unit."""

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
        """Takes in a batch (..., units)."""
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
        """The sums as shares."""
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

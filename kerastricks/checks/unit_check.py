"""Units of a layer that compute the same, before and after a few training steps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.checks.images import as_images, as_labels, functional, positive, random_state_kept
from kerastricks.checks.instrument import Instrument, Place, Probe, look, values
from kerastricks.checks.reporting import format_table, plot_units
from kerastricks.errors import UsageError
from kerastricks.initializers.fan_sizes import DEPTHWISE, TRANSPOSED

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
        distinct_outputs: how many by their outputs on the images; None without images.
        distinct_weights_after: `distinct_weights` after the steps.
        distinct_outputs_after: `distinct_outputs` after the steps.
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
        """Formats a table and the verdicts."""
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
        return "\n".join([f"{self.model}: same units{on}", "", format_table(header, rows, left=1), "", *self.verdicts])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
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
        """Plots the share of different units by layer, as a PNG."""

        def shares(counts: list[int | None]) -> list[float]:
            return [(count or 0) / row.units for count, row in zip(counts, self.rows, strict=True) if row.units]

        bars = {"by weights": shares([row.distinct_weights for row in self.rows])}
        if self.images:
            bars = {
                "outputs at the start": shares([row.distinct_outputs for row in self.rows]),
                f"outputs after {self.steps} steps": shares([row.distinct_outputs_after for row in self.rows]),
            }
        names = [row.layer for row in self.rows]
        plot_units(f"{self.model}: different units", names, bars, "different units, share of all", Path(path))


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


def incoming_weights(layer: Any) -> np.ndarray | None:
    """(units, weights into one of them, its bias last); None where units do not see the same inputs."""
    kernel = getattr(layer, "pointwise_kernel", None)
    if kernel is None:
        kernel = getattr(layer, "kernel", None)
    if kernel is None or isinstance(layer, (*DEPTHWISE, keras.layers.EinsumDense)):
        return None
    found = values(kernel)
    if isinstance(layer, TRANSPOSED):
        found = np.moveaxis(found, -2, -1)  # (..., filters, channels)
    rows = found.reshape(-1, found.shape[-1]).T
    groups = getattr(layer, "groups", 1)
    if groups > 1:  # each group has its own input channels
        rows = np.concatenate([np.kron(np.eye(groups), np.ones((len(rows) // groups, 1))), rows], axis=1)
    bias = getattr(layer, "bias", None)
    return rows if bias is None else np.concatenate([rows, values(bias)[:, None]], axis=1)


def same(rows: np.ndarray, tolerance: float) -> list[list[int]]:
    """Groups equal rows: those within `tolerance` of the group's first, as a fraction of the largest number of all.

    Rows that are equal lie side by side when sorted by their product with any one vector, so that few pairs are
    compared. NaN equals nothing.
    """
    apart = tolerance * float(np.abs(rows).max(initial=0.0))
    direction = np.random.default_rng(0).uniform(0.5, 1.5, rows.shape[1])
    places = np.empty(len(rows))
    for start in range(0, len(rows), 256):  # all of a wide layer in float64 would be a gigabyte
        places[start : start + 256] = rows[start : start + 256] @ direction
    reach = apart * float(np.sum(direction)) * (1 + 1e-6)
    groups: list[list[int]] = []
    first_open = 0  # groups before it are out of reach
    for index in np.argsort(places, kind="stable").tolist():
        while first_open < len(groups) and places[index] - places[groups[first_open][0]] > reach:
            first_open += 1
        for group in groups[first_open:]:
            if np.abs(rows[index] - rows[group[0]]).max(initial=0.0) <= apart:
                group.append(index)
                break
        else:
            groups.append([index])
    return [sorted(group) for group in groups]


def check_units(
    model: keras.Model,
    images: Any = None,
    labels: Any = None,
    *,
    steps: int = 20,
    learning_rate: float = 0.1,
    batch_size: int = 64,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> UnitsReport:
    """Finds units with equal incoming weights, and sees whether training tells them apart.

    Units that start equal and feed the next layer through equal weights get equal gradients: however long it is
    trained, the layer is as good as one unit. That is why weights may not all start from zero. With images, a copy
    is trained for a few steps and the units' outputs are compared before and after; the model itself, its optimizer
    and the random state of the process stay as they are.

    Args:
        model: functional or Sequential, ending in a softmax or in logits.
        images: (N, height, width, channels) as the model takes them; a few hundred are plenty. None compares the
            weights only.
        labels: (N,) class indices; None draws them.
        steps: of SGD on the cross-entropy, on batches of `images` in turn; 1 or more.
        learning_rate: of these steps; the norm of each weight's gradient is clipped at 1.
        batch_size: images in a step, and at a time.
        tolerance: two units are the same when no weight, or output, differs by more than this fraction of the
            layer's largest.
        seed: of the labels that are drawn, and of dropout under torch.

    Returns:
        A `UnitsReport`: `to_text()`, `to_json()`, `plot(path)`.

    Raises:
        UsageError: for a model that cannot be copied layer by layer, and for images or labels that do not fit it.

    Example:
        >>> import keras, kerastricks, numpy
        >>> images = numpy.random.default_rng(0).normal(size=(32, 8))
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu", kernel_initializer="zeros")])
        >>> model.add(keras.layers.Dense(3, "softmax", kernel_initializer="zeros"))
        >>> row = kerastricks.checks.check_units(model, images).rows[0]
        >>> row.units, row.distinct_outputs_after
        (16, 1)
    """
    plain = functional(model)
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        positive(name, value, 1)
    if not learning_rate > 0 or not tolerance >= 0:
        raise UsageError(
            "learning_rate must be above 0 and tolerance 0 or more. "
            f"Received: learning_rate={learning_rate!r}, tolerance={tolerance!r}"
        )
    if images is None and labels is not None:
        raise UsageError("labels need their images: give both, or neither")
    found = as_images(images, plain) if images is not None else None
    shape = found.shape[1:] if found is not None else plain.inputs[0].shape[1:]
    watched: list[_Watched] = []

    def tap(place: Place, tensor: Any) -> Any:
        if not place.kernels or not hasattr(tensor, "shape"):
            return tensor
        watched.append(_Watched(place))
        return Probe(watched[-1].outputs.append, len(watched), place)(tensor)

    with random_state_kept(seed):
        instrument = Instrument(model, shape, tap, to_logits=True)
        if not watched:
            raise UsageError(f"model has no layer with a kernel. Received: {model.name!r}")
        before: list[tuple[Groups, Groups]] = [(one.groups_by_weights(tolerance), None) for one in watched]
        after: list[tuple[Groups, Groups]] = [(None, None) for _ in watched]
        if found is not None:
            labels = as_labels(labels, len(found), instrument.model.output_shape[-1], seed)
            before = _look(instrument.model, watched, found, batch_size, tolerance)
            _train(instrument.model, found, labels, steps, learning_rate, batch_size)
            after = _look(instrument.model, watched, found, batch_size, tolerance)
    rows = tuple(
        UnitsRow(
            layer=one.place.name,
            is_head=one.place.is_head,
            units=one.units,
            groups=_several(first[0]),
            groups_after=_several(last[1]),
            distinct_weights=_count(first[0]),
            distinct_outputs=_count(first[1]),
            distinct_weights_after=_count(last[0]),
            distinct_outputs_after=_count(last[1]),
        )
        for one, first, last in zip(watched, before, after, strict=True)
    )
    return UnitsReport(model.name, len(found) if found is not None else 0, steps if found is not None else 0, rows)


Groups = list[list[int]] | None


class _Watched:
    """A layer with a kernel and its last outputs."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.outputs: list[np.ndarray] = []
        self.weights = incoming_weights(place.layer)
        self.units = len(self.weights) if self.weights is not None else 0

    def groups_by_weights(self, tolerance: float) -> Groups:
        weights = incoming_weights(self.place.layer)
        return same(weights, tolerance) if weights is not None else None

    def groups_by_outputs(self, tolerance: float) -> Groups:
        self.units = self.outputs[0].shape[-1]
        rows = np.concatenate([batch.reshape(-1, self.units) for batch in self.outputs])
        self.outputs.clear()
        return same(rows.T, tolerance)


def _look(
    model: keras.Model, watched: list[_Watched], images: np.ndarray, batch_size: int, tolerance: float
) -> list[tuple[Groups, Groups]]:
    for start in range(0, len(images), batch_size):
        look(model, images[start : start + batch_size])
    return [(one.groups_by_weights(tolerance), one.groups_by_outputs(tolerance)) for one in watched]


def _train(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, steps: int, learning_rate: float, batch_size: int
) -> None:
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate, clipnorm=1.0, name="check_units"),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
        jit_compile=False,
    )
    starts = list(range(0, len(images), batch_size))
    for step in range(steps):
        start = starts[step % len(starts)]
        model.train_on_batch(images[start : start + batch_size], labels[start : start + batch_size])


def _count(groups: Groups) -> int | None:
    return None if groups is None else len(groups)


def _several(groups: Groups) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(group) for group in groups or () if len(group) > 1)

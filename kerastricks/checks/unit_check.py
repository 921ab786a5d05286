"""Units of a layer that compute the same, and go on doing so."""

from typing import Any

import keras
import numpy as np

from kerastricks.checks.identical import incoming_weights, same
from kerastricks.checks.images import as_images, as_labels, functional, positive
from kerastricks.checks.instrument import Instrument, Place
from kerastricks.checks.probe import Probe, look
from kerastricks.checks.random_state import random_state_kept
from kerastricks.checks.units_report import UnitsReport, UnitsRow
from kerastricks.errors import UsageError


def units(
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
            weights alone.
        labels: (N,) class numbers; None draws them.
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
        >>> row = kerastricks.checks.units(model, images).rows[0]
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
    """A layer with a kernel and what it gave last."""

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

"""The forward pass of LSUV, which rescales each kernel when its layer is first called, and its report."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from math import isfinite, nan, sqrt
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerastricks.initializers.lsuv_kernels import LSUV, Kernel, kernels_of


@dataclass(frozen=True)
class LSUVRow:
    """One kernel.

    Args:
        layer: name of the layer, "model/layer" in a nested model.
        kind: class of the layer, with the kernel's name where it has several.
        rounds: how often the kernel was rescaled.
        start_variance: of the pre-activation with the initial kernel; None if it was not measured or
            is not finite.
        variance: of the pre-activation with the final kernel.
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
    """Report of `lsuv`: a row per kernel in order of execution; `str(report)` is a table.

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
        """Header line and table."""
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


class Waiting(NamedTuple):
    """A kernel whose layer was not called yet, and the values it starts from; None for orthonormal ones."""

    name: str
    kernel: Kernel
    weights: np.ndarray | None


class Assign(keras.layers.Layer):
    """Sets a variable outside of mixed precision, in which the torch backend sets a copy and throws it away."""

    def __init__(self, variable: Any) -> None:
        super().__init__(autocast=False)
        self.variable = variable

    def call(self, values: Any) -> Any:
        self.variable.assign(values)
        return values


@dataclass
class LSUVPass:
    """One pass over the kernels of a model.

    Args:
        tolerance: how far from 1 the variance may stay.
        max_rounds: of rescaling, for each kernel.
        orthonormal: whether kernels start afresh.
        seed: of the fresh kernels.
        rows: what it did, in order of execution.
    """

    tolerance: float
    max_rounds: int
    orthonormal: bool
    seed: int | None
    rows: list[LSUVRow] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.draws = keras.random.SeedGenerator(self.seed)

    def run(self, model: keras.Model, images: Any, wanted: Callable[[Kernel], bool]) -> None:
        """Runs the model once, eagerly and in inference mode.

        Each layer's `call` is replaced for the time of the pass. It so gets the very input that the layers before,
        rescaled already, have computed, in nested models as well, and nothing is computed twice but the layer itself.
        """
        waiting: dict[int, list[Waiting]] = {}
        with ExitStack() as stack:
            for name, layer in named_layers(model):
                kernels = [Waiting(name, kernel, self._own(kernel)) for kernel in kernels_of(layer) if wanted(kernel)]
                if kernels and id(layer) not in waiting:  # a shared layer comes once
                    waiting[id(layer)] = kernels
                    stack.callback(_put_back, layer, vars(layer).get("call"))
                    layer.call = self._first_time(layer.call, waiting[id(layer)])
            batch = ops.convert_to_tensor(images, model.inputs[0].dtype)
            # A functional model's input may sit in a list or a dict; a sequential one has no such structure.
            model(keras.tree.map_structure(lambda _: batch, getattr(model, "input", batch)), training=False)
        for name, kernel, _ in [one for left in waiting.values() for one in left]:
            self.rows.append(LSUVRow(name, kernel.kind, note="not reached by a forward pass"))

    def _own(self, kernel: Kernel) -> np.ndarray | None:
        """The kernel's own values, where it starts from them."""
        if self.orthonormal or kernel.left_alone:
            return None
        return ops.convert_to_numpy(kernel.variable).astype("float64")

    def _first_time(self, call: Callable[..., Any], waiting: list[Waiting]) -> Callable[..., Any]:
        @functools.wraps(call)
        def rescale_and_call(*args: Any, **kwargs: Any) -> Any:
            while waiting:
                name, kernel, weights = waiting.pop(0)
                pre_activation = functools.partial(kernel.pre_activation, call, args, kwargs)
                self.rows.append(self._rescale(name, kernel, weights, pre_activation))
            return call(*args, **kwargs)

        return rescale_and_call

    def _rescale(
        self, name: str, kernel: Kernel, weights: np.ndarray | None, pre_activation: Callable[[], Any]
    ) -> LSUVRow:
        reason = kernel.left_alone
        if reason:
            variance = None if kernel.layout is None else _finite(moments(pre_activation())[1])
            return LSUVRow(name, kernel.kind, 0, variance, variance, None, reason)
        assign = Assign(kernel.variable)
        if weights is None:
            start = kernel.initializer
            own_seed = self.seed is None and isinstance(start, LSUV)
            weights = kernel.orthonormal(start.seed if own_seed else self.draws)
            assign(weights)
        mean, variance = moments(pre_activation())
        first, rounds, note = variance, 0, ""
        while abs(variance - 1) > self.tolerance or not isfinite(variance):
            note = self._hopeless(mean, variance, rounds, getattr(kernel.layer, "bias", None))
            if note:
                break
            weights = weights / sqrt(variance)
            assign(weights)
            rounds += 1
            mean, variance = moments(pre_activation())
        return LSUVRow(name, kernel.kind, rounds, _finite(first), _finite(variance), not note, note)

    def _hopeless(self, mean: float, variance: float, rounds: int, bias: Any) -> str:
        """Why another round would not help, or ""."""
        if not isfinite(variance):
            return "its output is not finite"
        if variance <= 1e-12 * mean**2:  # the rounding errors of float32
            return "its output is constant, as with an input that is dead (all zero): nothing to scale"
        if rounds < self.max_rounds:
            return ""
        has_bias = bias is not None and bool(ops.convert_to_numpy(ops.any(ops.not_equal(bias, 0))))
        return f"stopped after {rounds} rounds" + ("; its bias, which stays as it is, is not zero" if has_bias else "")


def moments(outputs: Any) -> tuple[float, float]:
    """Mean and variance over images, positions and channels; NaN where they are not finite."""
    images = ops.convert_to_numpy(ops.cast(ops.stop_gradient(outputs), "float32"))
    if not np.isfinite(images).all():
        return nan, nan
    # Sums in float64, without the copy in float64 that np.var would make.
    mean = float(np.mean(images, dtype="float64"))
    centred = images - np.float32(mean)
    return mean, float(np.mean(np.square(centred, out=centred), dtype="float64"))


def named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """All layers with their names, those of nested models as "model/layer"."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def _finite(variance: float) -> float | None:
    return variance if isfinite(variance) else None


def _put_back(layer: keras.layers.Layer, call: Callable[..., Any] | None) -> None:
    if call is None:
        del layer.call  # the class's own shows again
    else:
        layer.call = call

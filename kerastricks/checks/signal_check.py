"""Variance of the signal and of its gradient, layer by layer."""

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.activations.gains import gain
from kerastricks.checks.images import as_images, as_labels, functional, positive, random_state_kept
from kerastricks.checks.instrument import Instrument, Place, values
from kerastricks.checks.reporting import finite_or_none, format_number, format_table, plot_signal
from kerastricks.errors import UsageError
from kerastricks.keras_graph import variable_index


@dataclass(frozen=True)
class SignalRow:
    """One layer with a kernel, or one activation.

    Args:
        layer: its name, "block/conv" inside another model, "conv:relu" for a layer's own activation.
        kind: "kernel" or "activation".
        activation: its name; None where none is in the layer.
        is_head: whether its outputs are the logits.
        mean: of the output, over images, positions and units.
        variance: of the output.
        gradient: the mean square of the gradient of an image's own loss with respect to the output.
        kernel_gradient: the mean square of the gradient of the mean loss with respect to the kernel; None without
            a trainable one.
        slope: of a leaky activation below zero.
    """

    layer: str
    kind: str
    activation: str | None
    is_head: bool
    mean: float
    variance: float
    gradient: float
    kernel_gradient: float | None
    slope: float = 0.0


@dataclass(frozen=True)
class SignalReport:
    """Signal and gradient of every layer, and whether they vanish or explode along the way.

    Args:
        model: its name.
        images: how many were used.
        loss: mean cross-entropy in nats.
        rows: in the order in which the layers are called.
    """

    model: str
    images: int
    loss: float
    rows: tuple[SignalRow, ...]

    @property
    def path(self) -> tuple[SignalRow, ...]:
        """The layers with a kernel that the ratios go along: all but the one that gives the logits."""
        kernels = tuple(row for row in self.rows if row.kind == "kernel")
        hidden = tuple(row for row in kernels if not row.is_head)
        return hidden if len(hidden) >= 2 else kernels

    @property
    def forward_ratio(self) -> float:
        """The variance of the last layer's output divided by the first's; NaN where the first has none."""
        return _ratio(self.path[-1].variance, self.path[0].variance) if self.path else math.nan

    @property
    def backward_ratio(self) -> float:
        """The mean square gradient at the first layer divided by that at the last; NaN where the last has none."""
        return _ratio(self.path[0].gradient, self.path[-1].gradient) if self.path else math.nan

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A line on the signal, a line on the gradient, and a remedy where one of them does not hold."""
        if len(self.path) < 2:
            return ("fewer than two layers have a kernel: nothing to compare",)
        forward = [(row.layer, row.variance) for row in self.path]
        backward = [(row.layer, row.gradient) for row in reversed(self.path)]
        found = (_verdict("forward signal", forward), _verdict("gradient on the way back", backward))
        lines = tuple(text for text, _ in found)
        return lines if all(good for _, good in found) else (*lines, _hint(self.rows))

    def to_text(self) -> str:
        """Formats a table and the verdicts."""
        header = ("layer", "kind", "mean", "variance", "ratio", "gradient^2", "kernel gradient^2")
        before: dict[int, SignalRow] = {id(row): self.path[i] for i, row in enumerate(self.path[1:])}
        rows = [
            (
                row.layer,
                row.kind if row.activation is None else row.activation,
                format_number(row.mean),
                format_number(row.variance),
                format_number(_ratio(row.variance, before[id(row)].variance), 2) if id(row) in before else "",
                format_number(row.gradient),
                format_number(row.kernel_gradient) if row.kind == "kernel" else "",
            )
            for row in self.rows
        ]
        title = f"{self.model}: signal and gradient on {self.images:,} images, loss {self.loss:.3g}"
        return "\n".join([title, "", format_table(header, rows, left=2), "", *self.verdicts])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinity are None."""
        return {
            "model": self.model,
            "images": self.images,
            "loss": finite_or_none(self.loss),
            "forward_ratio": finite_or_none(self.forward_ratio),
            "backward_ratio": finite_or_none(self.backward_ratio),
            "verdicts": list(self.verdicts),
            "layers": [
                {
                    "layer": row.layer,
                    "kind": row.kind,
                    "activation": row.activation,
                    "mean": finite_or_none(row.mean),
                    "variance": finite_or_none(row.variance),
                    "gradient": finite_or_none(row.gradient),
                    "kernel_gradient": finite_or_none(row.kernel_gradient),
                }
                for row in self.rows
            ],
        }

    def plot(self, path: Path | str) -> None:
        """Plots variance and gradient by layer on a log scale, as a PNG."""
        plot_signal(
            f"{self.model}: signal and gradient on {self.images:,} images",
            [row.layer for row in self.rows],
            np.array([row.kind == "kernel" for row in self.rows]),
            np.array([row.variance for row in self.rows]),
            np.array([row.gradient for row in self.rows]),
            np.array([np.nan if row.kernel_gradient is None else row.kernel_gradient for row in self.rows]),
            Path(path),
        )


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else math.nan


def _verdict(what: str, path: list[tuple[str, float]]) -> tuple[str, bool]:
    """Describes a quantity along a path, and tells whether it holds."""
    for name, value in path:
        if not math.isfinite(value):
            return f"{what}: leaves float32 at {name}", False
        if value == 0:
            where = f"from {name} on" if name != path[0][0] else "everywhere"
            return f"{what}: 0, or too small for float32, {where}", False
    total = path[-1][1] / path[0][1]
    factor = total ** (1 / (len(path) - 1))
    layers = f"{len(path)} layers"
    if 0.85 <= factor <= 1.18 or 0.1 <= total <= 10:
        return f"{what}: holds, a factor of {total:.2g} over {layers}", True
    if factor < 1:
        how = "halves" if 0.45 <= factor <= 0.55 else f"shrinks to {factor:.2g}"
        return f"{what}: {how} per layer, {layers} leave {total:.1g} of it", False
    how = "doubles" if 1.8 <= factor <= 2.2 else f"grows {factor:.2g}-fold"
    return f"{what}: {how} per layer, {layers} make it {total:.1g} times as large", False


def _hint(rows: tuple[SignalRow, ...]) -> str:
    """Names a remedy for the most frequent activation."""
    found = Counter((row.activation, row.slope) for row in rows if row.activation not in (None, "softmax"))
    if not found:
        return "an initializer with variance 1 / fan_in keeps it: fan_in"
    (name, slope), _ = found.most_common(1)[0]
    if name in ("relu", "relu6", "threshold"):
        return "an initializer with gain sqrt 2 keeps it: he_normal"
    if name in ("leaky_relu", "prelu", "rrelu"):
        slope = slope or {"prelu": 0.25, "rrelu": 0.2}.get(str(name), 0.0)
        return f"an initializer with gain sqrt(2 / (1 + slope^2)) keeps it: he_normal({slope:.3g})"
    if name in ("sigmoid", "hard_sigmoid"):
        return f"no initializer keeps it through {name}: normalise each layer, or take another activation"
    try:
        return f"an initializer with variance {gain(name) ** 2:.3g} / fan_in keeps it"
    except ValueError:  # a function that only its model knows
        return f"an initializer with the gain of {name} keeps it; or normalise each layer"


def check_signal(
    model: keras.Model, images: Any, labels: Any = None, *, batch_size: int = 64, seed: int = 0
) -> SignalReport:
    """Measures the variance of every kernel's and activation's output, and of the gradient that comes back to it.

    Shows at once what an initializer and an activation do to each other: a signal that halves in every layer is
    gone after thirty, and so is the gradient. The layers work as in a training step (batch normalization with the
    statistics of the batch, dropout on), on a copy: the model, its optimizer and the random state of the process
    stay as they are. Regularizers are left out.

    Args:
        model: functional or Sequential, ending in a softmax or in logits; other models and layers may be inside.
        images: (N, height, width, channels) as the model takes them; a few hundred are plenty.
        labels: (N,) class indices; None draws them, which before training makes little difference.
        batch_size: images at a time; it decides the memory, and the batch that batch normalization sees.
        seed: of the labels that are drawn, and of dropout under torch.

    Returns:
        A `SignalReport`: `to_text()`, `to_json()`, `plot(path)`.

    Raises:
        UsageError: for a model that cannot be copied layer by layer, and for images or labels that do not fit it.

    Example:
        >>> import keras, kerastricks, numpy
        >>> images = numpy.random.default_rng(0).normal(size=(32, 8, 8, 1))
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
        >>> for _ in range(10):
        ...     model.add(keras.layers.Dense(64, "relu", kernel_initializer="he_normal"))
        >>> model.add(keras.layers.Dense(3, "softmax"))
        >>> 0.01 < kerastricks.checks.check_signal(model, images).forward_ratio < 100
        True

    Reference:
        He, Zhang, Ren, Sun: Delving Deep into Rectifiers, ICCV 2015, section 2.2: the variance of a layer's
        responses (equation 10) and of its gradients (equation 14).
    """
    plain = functional(model)
    images = as_images(images, plain)
    positive("batch_size", batch_size, 1)
    batch_size = min(batch_size, len(images))
    taps: list[_GradientTap] = []

    def tap(place: Place, tensor: Any) -> Any:
        if None in tensor.shape[1:]:
            raise UsageError(f"the output of layer {place.name!r} has no fixed shape. Received: {tensor.shape}")
        taps.append(_GradientTap(place, batch_size, len(taps)))
        return taps[-1](tensor)

    with random_state_kept(seed):
        instrument = Instrument(model, images.shape[1:], tap, to_logits=True)
        labels = as_labels(labels, len(images), instrument.model.output_shape[-1], seed)
        if not taps:
            raise UsageError(f"model has no layer with a kernel and no activation. Received: {model.name!r}")
        trainer = Differentiator(instrument.model)
        optimizer = KeepGradients(learning_rate=1.0, name="keep_gradients")
        trainer.compile(optimizer=optimizer, run_eagerly=True, jit_compile=False, auto_scale_loss=False)
        sums = [_Sums() for _ in taps]
        loss = 0.0
        for start in range(0, len(images), batch_size):
            instrument.reset()
            part = slice(start, start + batch_size)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Gradients do not exist")  # of weights that the loss does not use
                trainer.train_on_batch(images[part], labels[part])
            loss += float(values(trainer.loss_sum))
            for one, found in zip(taps, sums, strict=True):
                found.add(one, optimizer, len(images[part]))
    rows = [found.row(one.place, len(images)) for one, found in zip(taps, sums, strict=True)]
    return SignalReport(model.name, len(images), loss / len(images), tuple(rows))


class _GradientTap(keras.layers.Layer):
    """The identity, with a summand of zeros: the gradient of the loss with respect to it is that of the tensor."""

    def __init__(self, place: Place, batch_size: int, number: int) -> None:
        super().__init__(name=f"kerastricks_tap_{number}", dtype=getattr(place.layer, "dtype_policy", None))
        self.place = place
        self.batch_size = batch_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        # Without autocast: under torch an assignment would go to the copy in the other precision.
        options: dict[str, Any] = {"initializer": "zeros", "dtype": "float32", "autocast": False}
        self.shift = self.add_weight(shape=(self.batch_size, *input_shape[1:]), name="shift", **options)
        self.statistics = self.add_weight(shape=(3,), trainable=False, name="statistics", **options)

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, dtype=x.dtype)  # a batch of unknown size would not fit the summand

    def call(self, x: Any) -> Any:
        seen = ops.cast(ops.stop_gradient(x), "float32")
        # Divided by the largest: the square of a vanishing or exploding signal leaves float32 long before the signal.
        largest = ops.max(ops.abs(seen))
        scaled = seen / ops.where(largest > 0, largest, ops.ones_like(largest))
        mean = ops.mean(scaled)
        self.statistics.assign(ops.stack([largest, mean, ops.mean(ops.square(scaled - mean))]))
        return x + ops.cast(self.shift[: ops.shape(x)[0]], x.dtype)


class Differentiator(keras.Model):
    """Trains on the sum of the images' own losses, without penalties."""

    def __init__(self, logits: keras.Model) -> None:
        super().__init__(name="kerastricks_differentiator")
        self.logits = logits
        self.loss_sum = self.add_weight(shape=(), initializer="zeros", trainable=False, name="loss_sum")
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        return self.logits(images, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        logits = ops.cast(y_pred, "float32")
        loss = ops.sum(ops.sparse_categorical_crossentropy(y, logits, from_logits=True))
        self.loss_sum.assign(ops.stop_gradient(loss))
        return loss


class KeepGradients(keras.optimizers.Optimizer):
    """Changes no weight and keeps each gradient: the one way to it that all backends share."""

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            self.gradients = [self.add_variable_from_reference(v, "gradient") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign(self.gradients[variable_index(self, variable)], gradient)

    def of(self, variable: Any) -> np.ndarray:
        """The gradient with respect to a trainable weight, float64."""
        return values(self.gradients[variable_index(self, variable)]).astype("float64")


class _Sums:
    """Merges batches: mean and variance by Chan, Golub, LeVeque 1983; gradients as sums."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0
        self.gradient_squares = 0.0
        self.kernels: dict[str, np.ndarray] = {}

    def add(self, tap: _GradientTap, optimizer: KeepGradients, images: int) -> None:
        largest, mean, variance = values(tap.statistics).astype("float64").tolist()
        count = images * int(np.prod(tap.shift.shape[1:]))
        mean, variance = mean * largest, variance * largest**2
        total, gap = self.count + count, mean - self.mean
        self.mean += gap * count / total
        self.squares += variance * count + gap**2 * self.count * count / total
        self.count = total
        self.gradient_squares += float(np.square(optimizer.of(tap.shift)).sum())
        for kernel in tap.place.kernels:
            if kernel.trainable:
                self.kernels[kernel.path] = self.kernels.get(kernel.path, 0.0) + optimizer.of(kernel)

    def row(self, place: Place, images: int) -> SignalRow:
        entries = sum(kernel.size for kernel in self.kernels.values())
        squares = sum(float(np.square(kernel / images).sum()) for kernel in self.kernels.values())
        return SignalRow(
            layer=place.name,
            kind="kernel" if place.kernels else "activation",
            activation=place.activation.name if place.activation else None,
            is_head=place.is_head,
            mean=self.mean,
            variance=self.squares / self.count,
            gradient=self.gradient_squares / self.count,
            kernel_gradient=squares / entries if entries else None,
            slope=place.activation.slope if place.activation else 0.0,
        )

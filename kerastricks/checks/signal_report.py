"""What `checks.init` found."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastricks.activations.gains import gain
from kerastricks.checks.plots import draw_signal
from kerastricks.checks.table import finite, number, table


@dataclass(frozen=True)
class SignalRow:
    """One layer with a kernel, or one activation.

    Args:
        layer: its name, "block/conv" inside another model, "conv:relu" for a layer's own activation.
        kind: "kernel" or "activation".
        activation: its name; None where none is in the layer.
        is_head: whether its output are the logits.
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
    """Signal and gradient of every layer, and whether they vanish or explode on the way.

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
        """The variance of the last layer's output by that of the first's; NaN where the first has none."""
        return _ratio(self.path[-1].variance, self.path[0].variance) if self.path else math.nan

    @property
    def backward_ratio(self) -> float:
        """The mean square gradient at the first layer by that at the last; NaN where the last has none."""
        return _ratio(self.path[0].gradient, self.path[-1].gradient) if self.path else math.nan

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A line on the signal, a line on the gradient, and the way out where one of them is bad news."""
        if len(self.path) < 2:
            return ("fewer than two layers have a kernel: nothing to compare",)
        forward = [(row.layer, row.variance) for row in self.path]
        backward = [(row.layer, row.gradient) for row in reversed(self.path)]
        found = (_verdict("forward signal", forward), _verdict("gradient on the way back", backward))
        lines = tuple(text for text, _ in found)
        return lines if all(good for _, good in found) else (*lines, _hint(self.rows))

    def to_text(self) -> str:
        """A table and the verdicts."""
        header = ("layer", "kind", "mean", "variance", "ratio", "gradient^2", "kernel gradient^2")
        before: dict[int, SignalRow] = {id(row): self.path[i] for i, row in enumerate(self.path[1:])}
        rows = [
            (
                row.layer,
                row.kind if row.activation is None else row.activation,
                number(row.mean),
                number(row.variance),
                number(_ratio(row.variance, before[id(row)].variance), 2) if id(row) in before else "",
                number(row.gradient),
                number(row.kernel_gradient) if row.kind == "kernel" else "",
            )
            for row in self.rows
        ]
        title = f"{self.model}: signal and gradient on {self.images:,} images, loss {self.loss:.3g}"
        return "\n".join([title, "", table(header, rows, left=2), "", *self.verdicts])

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; NaN and infinity are None."""
        return {
            "model": self.model,
            "images": self.images,
            "loss": finite(self.loss),
            "forward_ratio": finite(self.forward_ratio),
            "backward_ratio": finite(self.backward_ratio),
            "verdicts": list(self.verdicts),
            "layers": [
                {
                    "layer": row.layer,
                    "kind": row.kind,
                    "activation": row.activation,
                    "mean": finite(row.mean),
                    "variance": finite(row.variance),
                    "gradient": finite(row.gradient),
                    "kernel_gradient": finite(row.kernel_gradient),
                }
                for row in self.rows
            ],
        }

    def plot(self, path: Path | str) -> None:
        """Draws variance and gradient by layer on a log scale, as a PNG."""
        draw_signal(self, Path(path))


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else math.nan


def _verdict(what: str, path: list[tuple[str, float]]) -> tuple[str, bool]:
    """A sentence about a quantity along a path, and whether it is good news."""
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
    """The way out, for the activation that is there most often."""
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

"""A layer that shows what passes through it."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerastricks.checks.instrument import Place, values


class Probe(keras.layers.Layer):
    """The identity; hands what passes to a function while it is open.

    It may be open only while the model is called directly: in a compiled function there is nothing to show.

    Args:
        see: gets each output as float32.
        number: for the name.
        place: where it is.
    """

    def __init__(self, see: Callable[[np.ndarray], None], number: int, place: Place) -> None:
        super().__init__(name=f"kerastricks_probe_{number}", dtype=getattr(place.layer, "dtype_policy", None))
        self.see = see
        self.is_open = False

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def call(self, x: Any) -> Any:
        if self.is_open:
            self.see(values(x))
        return x


def look(model: keras.Model, images: np.ndarray) -> None:
    """Calls a model with its probes open, as it predicts."""
    probes = [layer for layer in model._flatten_layers() if isinstance(layer, Probe)]
    for probe in probes:
        probe.is_open = True
    try:
        model(images, training=False)
    finally:
        for probe in probes:
            probe.is_open = False

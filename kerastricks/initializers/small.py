"""Small random numbers, normal."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import keras

from kerastricks.initializers.seeded_initializer import SeededInitializer


@keras.saving.register_keras_serializable(package="kerastricks")
class SmallNormal(SeededInitializer):
    """Draws every weight from 0.001 N(0, 1), whatever the size of the layer.

    It breaks the symmetry that all zeros leave in place: units differ and learn different things. It helps in
    networks of one or two layers and in front of normalisation, where the scale does not matter; in deep ones
    the signal, and with it the gradient, shrinks in every layer until nothing is learned.

    Args:
        stddev: standard deviation, above 0.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel.
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for a `stddev` that is not above 0, or another kind of seed.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.SmallNormal(0.01, seed=0)((3, 3, 3, 8)).shape
        TensorShape([3, 3, 3, 8])

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 3. Krizhevsky, Sutskever, Hinton,
        NeurIPS 2012, section 5, start from N(0, 0.01^2): `SmallNormal(0.01)`.
    """

    def __init__(self, stddev: float = 0.001, seed: Any = None) -> None:
        super().__init__(seed)
        if not (isfinite(stddev) and stddev > 0):
            raise ValueError(f"stddev must be above 0. Received: stddev={stddev}")
        self.stddev = stddev

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        return self.normal(shape, self.stddev, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"stddev": self.stddev, **super().get_config()}

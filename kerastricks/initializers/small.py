"""Small random weights, normal and uniform, whatever the size of the layer."""

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


@keras.saving.register_keras_serializable(package="kerastricks")
class SmallUniform(SeededInitializer):
    """Draws every weight from U(-0.001, 0.001), whatever the size of the layer.

    As `SmallNormal`, with bounds: it breaks the symmetry of all zeros, and lets the signal of a deep network
    vanish. The article writes U(-1, 1) as an example, which is `limit=1.0` and makes it explode instead.

    Args:
        limit: the largest magnitude, above 0.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel.
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for a `limit` that is not above 0, or another kind of seed.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.SmallUniform(seed=0)((8, 4)).shape
        TensorShape([8, 4])

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 3. Deviation: the limit is that of
        its normal form, 0.001, and not 1.
    """

    def __init__(self, limit: float = 0.001, seed: Any = None) -> None:
        super().__init__(seed)
        if not (isfinite(limit) and limit > 0):
            raise ValueError(f"limit must be above 0. Received: limit={limit}")
        self.limit = limit

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        return self.uniform(shape, self.limit, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"limit": self.limit, **super().get_config()}

"""Base of the random initializers, with the rules for seeds."""

import random
from typing import Any

import keras


class SeededInitializer(keras.initializers.Initializer):
    """An initializer that draws, with Keras's own rules for seeds.

    Two calls of one object with an integer or None as seed give the same values; a copy (`clone`) of an
    object without a seed draws anew, a copy of one with an integer draws the same again; with a
    `keras.random.SeedGenerator` every call draws anew. `keras.utils.set_random_seed` makes all of it repeatable.

    Args:
        seed: an integer, a `keras.random.SeedGenerator`, or None for one that `keras.utils.set_random_seed` rules.

    Raises:
        ValueError: for another kind of seed.
    """

    def __init__(self, seed: Any = None) -> None:
        if isinstance(seed, dict):
            seed = keras.saving.deserialize_keras_object(seed)
        if not (seed is None or isinstance(seed, int | keras.random.SeedGenerator)):
            raise ValueError(f"seed must be an integer, a keras.random.SeedGenerator or None. Received: seed={seed!r}")
        self._given_seed = seed
        # Python's generator is the one that keras.utils.set_random_seed seeds and Keras draws its own seeds from.
        self.seed = random.randint(1, 10**9) if seed is None else seed

    def normal(self, shape: Any, stddev: float, dtype: Any = None) -> Any:
        """Untruncated draws of N(0, stddev^2)."""
        return keras.random.normal(shape, stddev=stddev, dtype=dtype, seed=self.seed)

    def uniform(self, shape: Any, limit: float, dtype: Any = None) -> Any:
        """Draws of U(-limit, limit)."""
        return keras.random.uniform(shape, -limit, limit, dtype=dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": keras.saving.serialize_keras_object(self._given_seed)}

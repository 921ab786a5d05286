"""What a specification of regularization asks for."""

from dataclasses import dataclass

import keras

from kerastricks.regularizers.penalties import max_norm


@dataclass(frozen=True)
class Regularization:
    """A penalty on kernels, a bound on their norm, both or none.

    `regularizer` is for a layer's `kernel_regularizer`, `constraint(kind)` for its `kernel_constraint`.

    Args:
        regularizer: the penalty; None is none.
        max_value: the bound on each unit's norm; None is none.
    """

    regularizer: keras.Regularizer | None = None
    max_value: float | None = None

    def constraint(self, kind: str | keras.layers.Layer) -> keras.constraints.MaxNorm | None:
        """The bound for a kind of layer, as in `max_norm`; None without one."""
        return None if self.max_value is None else max_norm(self.max_value, kind)

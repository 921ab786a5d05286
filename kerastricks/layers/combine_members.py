"""Combination of an ensemble's members: several distributions over the classes become one."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

METHODS = ("mean", "geometric", "vote", "stack", "best")
_LOWEST = -80.0  # exp of it is a normal number in float32


@keras.saving.register_keras_serializable(package="kerastricks")
class CombineMembers(keras.layers.Layer):
    """Makes one distribution over the classes of the log-probabilities of several members.

    The layer of `kerastricks.ensemble.Combination`, which has the formulas: with q_m = softmax(l_m / T_m), "mean" is
    sum_m w_m q_m, "geometric" the normalised product of q_m^w_m, "vote" the share of members for each class with ties
    broken by the mean, "stack" a multinomial logistic regression on the members' log-probabilities, "best" the mean
    with one weight of 1; then a temperature. Means of probabilities are safe everywhere, geometric means gain where
    members are calibrated and alike, votes lose the members' confidence, stacking needs a few hundred labelled images
    that no member was trained on. Training and inference are the same; gradients reach the members.

    Weights, temperatures, kernel and bias are weights of the layer, not trainable, and so in the model's file. They are
    equal weights, ones and zeros until `set_values`.

    Args:
        method: "mean", "geometric", "vote", "stack" or "best".
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        log_probabilities: float, (batch, members, classes); logits will do.

    Returns:
        Log-probabilities in the layer's compute dtype, (batch, classes); computed in float32, none below -80. A
        softmax makes probabilities of them.

    Raises:
        ValueError: for an unknown method, or another rank or an unknown size of the input.

    Example:
        >>> import kerastricks, keras, numpy
        >>> members = numpy.log([[[0.8, 0.2], [0.4, 0.6]]])
        >>> keras.ops.exp(kerastricks.layers.CombineMembers("mean")(members)).numpy().round(3)
        array([[0.6, 0.4]], dtype=float32)

    Reference:
        Those of `kerastricks.ensemble.Combination`. Deviation: the tie-breaking part of "vote".
    """

    def __init__(self, method: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}. Received: method={method!r}")
        self.method = method

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        members, classes = self._sizes(input_shape)

        def add(name: str, shape: tuple[int, ...], value: float) -> Any:
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=keras.initializers.Constant(value),
                trainable=False,
                dtype="float32",
                autocast=False,
            )

        self.member_temperatures = add("member_temperatures", (members,), 1.0)
        self.temperature = add("temperature", (), 1.0)
        if self.method == "stack":
            self.kernel = add("kernel", (members * classes, classes), 0.0)
            self.bias = add("bias", (classes,), 0.0)
        else:
            self.member_weights = add("member_weights", (members,), 1 / members)

    def set_values(
        self,
        weights: Sequence[float] | np.ndarray | None = None,
        temperatures: Sequence[float] | np.ndarray | None = None,
        temperature: float = 1.0,
        kernel: np.ndarray | None = None,
        bias: np.ndarray | None = None,
    ) -> None:
        """Sets what is given, once the layer is built.

        Args:
            weights: (members,), of sum 1.
            temperatures: (members,), above 0.
            temperature: above 0, of the result.
            kernel: (members * classes, classes), of "stack".
            bias: (classes,), of "stack".
        """
        self.temperature.assign(temperature)
        for name, value in {
            "member_weights": weights,
            "member_temperatures": temperatures,
            "kernel": kernel,
            "bias": bias,
        }.items():
            if value is not None:
                getattr(self, name).assign(np.asarray(value, "float32"))

    def call(self, log_probabilities: Any) -> Any:
        members, classes = self._sizes(log_probabilities.shape)
        log_q = _tempered(ops.cast(log_probabilities, "float32"), self.member_temperatures[:, None])
        if self.method == "stack":
            centred = log_q - ops.mean(log_q, axis=-1, keepdims=True)
            combined = ops.matmul(ops.reshape(centred, (-1, members * classes)), self.kernel) + self.bias
        elif self.method == "geometric":
            combined = self._weighted(log_q)
        else:
            probabilities = self._weighted(ops.exp(log_q))
            if self.method == "vote":
                votes = self._weighted(ops.one_hot(ops.argmax(log_q, axis=-1), classes, dtype="float32"))
                share = 1 / (members + 1)
                probabilities = (votes + share * probabilities) / (1 + share)
            combined = ops.log(probabilities)
        return ops.cast(_tempered(_tempered(combined), self.temperature), self.compute_dtype)

    def _weighted(self, values: Any) -> Any:
        return ops.sum(self.member_weights[:, None] * values, axis=1)

    def _sizes(self, input_shape: Sequence[int | None]) -> tuple[int, int]:
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                "log_probabilities must be (batch, members, classes), the last two known. "
                f"Received: shape {tuple(input_shape)}; stack the members' outputs along axis 1"
            )
        return int(input_shape[1] or 0), int(input_shape[2] or 0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape[0], self._sizes(input_shape)[1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "method": self.method}


def _tempered(logits: Any, temperature: Any = 1.0) -> Any:
    """Log-softmax of logits at a temperature, none below the lowest."""
    # The largest goes first: minus infinity then stays what it is, and a small temperature cannot overflow.
    logits = (logits - ops.max(logits, axis=-1, keepdims=True)) / temperature
    return ops.maximum(ops.log_softmax(logits, axis=-1), _LOWEST)

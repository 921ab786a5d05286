"""A function of keras.activations with arguments of its own."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerastricks")
class KerasFunction:
    """Calls a function of `keras.activations` on the tensor, with the arguments it was made with.

    `keras.layers.Activation` takes a name or a function without arguments; given this, it takes
    `gelu(approximate=True)` too, and is saved and loaded with it. Training and inference do the same.

    Args:
        function: its name in `keras.activations`.
        arguments: its arguments besides the tensor.

    Call arguments:
        inputs: float, any shape.

    Returns:
        What the function returns.

    Raises:
        ValueError: for a name that `keras.activations` has not.

    Example:
        >>> import keras, kerastricks, numpy
        >>> shrink = kerastricks.activations.KerasFunction("soft_shrink", {"threshold": 1.0})
        >>> keras.layers.Activation(shrink)(numpy.array([-3.0, 0.5, 2.0])).numpy().tolist()
        [-2.0, 0.0, 1.0]
    """

    def __init__(self, function: str, arguments: dict[str, Any] | None = None) -> None:
        self.function = function
        self.arguments = dict(arguments or {})
        self._call = keras.activations.get(function)

    def __call__(self, inputs: Any) -> Any:
        return self._call(inputs, **self.arguments)

    def get_config(self) -> dict[str, Any]:
        return {"function": self.function, "arguments": self.arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "KerasFunction":
        return cls(**config)

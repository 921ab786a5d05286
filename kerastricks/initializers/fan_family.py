"""Variance 1 / n_in."""

from typing import Any, Literal

import keras

from kerastricks.initializers.fan_initializer import FanInitializer


@keras.saving.register_keras_serializable(package="kerastricks")
class FanIn(FanInitializer):
    """Draws weights of mean 0 and variance 1 / n_in, with n_in the number of inputs of a unit.

    A unit's output then has the variance of its inputs, where these have mean 0. It helps with linear, tanh and
    SELU activations; behind ReLU, which halves the second moment, the signal halves in every layer: `HeNormal`.

    Args:
        distribution: "normal" (untruncated) or "uniform" (limit sqrt(3 / n_in)).
        depthwise: True for a depthwise kernel of a layer that is not Keras's own, whose n_in is k*k.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel, in Keras's layout. A layer of Keras's that adds it is known and counted by its kind: see
            `fans`. Any other shape is a dense kernel's or a convolution's.
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for another `distribution` or kind of seed, or a shape that is no kernel's.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.FanIn(seed=0)((3, 3, 16, 8)).shape
        TensorShape([3, 3, 16, 8])

    Reference:
        LeCun, Bottou, Orr, Mueller: Efficient BackProp, 1998, section 4.6. It is the 1 / sqrt(n) of Wei's
        article and of CS231n, and what Caffe calls Xavier. Keras's `lecun_normal` truncates at two standard
        deviations (and widens to keep the variance), and counts k*k*C for depthwise kernels.
    """

    def __init__(
        self, distribution: Literal["normal", "uniform"] = "normal", depthwise: bool = False, seed: Any = None
    ) -> None:
        super().__init__(distribution, depthwise, seed)

    def variance(self, n_in: float, n_out: float) -> float:
        return 1 / n_in

    def get_config(self) -> dict[str, Any]:
        return {"distribution": self.distribution, **super().get_config()}

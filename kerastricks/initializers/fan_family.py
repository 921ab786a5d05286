"""Initializers whose variance follows from the kernel's size: fan-in, He and Xavier, normal and uniform."""

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Any, Literal

import keras

from kerastricks.initializers.fan_sizes import asking_layer, fans, layer_fans
from kerastricks.initializers.seeded_initializer import SeededInitializer


class FanInitializer(SeededInitializer):
    """Draws with mean 0 and the variance that `variance(n_in, n_out)` gives; subclasses define it.

    Args:
        distribution: "normal" (untruncated) or "uniform" (limit sqrt(3 variance)).
        depthwise: whether the kernel is a depthwise one, see `fans`. A layer of Keras's that asks says it itself.
        seed: see `SeededInitializer`.

    Raises:
        ValueError: for another distribution or kind of seed.
    """

    distribution: Literal["normal", "uniform"]

    def __init__(
        self, distribution: Literal["normal", "uniform"] = "normal", depthwise: bool = False, seed: Any = None
    ) -> None:
        super().__init__(seed)
        if distribution not in ("normal", "uniform"):
            raise ValueError(f'distribution must be "normal" or "uniform". Received: distribution={distribution!r}')
        if not isinstance(depthwise, bool):
            raise ValueError(f"depthwise must be True or False. Received: depthwise={depthwise!r}")
        self.distribution = distribution
        self.depthwise = depthwise

    def variance(self, n_in: float, n_out: float) -> float:
        """Variance of each weight."""
        raise NotImplementedError

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        asking = None if self.depthwise else asking_layer()
        counted = layer_fans(*asking, shape) if asking is not None else None
        variance = self.variance(*(counted or fans(shape, self.depthwise)))
        if self.distribution == "normal":
            return self.normal(shape, sqrt(variance), dtype)
        return self.uniform(shape, sqrt(3 * variance), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"depthwise": self.depthwise, **super().get_config()}


@keras.saving.register_keras_serializable(package="kerastricks")
class FanIn(FanInitializer):
    """Draws weights of mean 0 and variance 1 / n_in, with n_in the number of inputs of a unit.

    A unit's output then has the variance of its inputs, where these have mean 0. It helps with linear, tanh and
    SELU activations; after ReLU, which halves the second moment, the signal halves in every layer: `HeNormal`.

    Args:
        distribution: "normal" (untruncated) or "uniform" (limit sqrt(3 / n_in)).
        depthwise: True for a depthwise kernel of a layer that is not Keras's own, whose n_in is k*k.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel, in Keras's layout. A layer of Keras's that adds it is known and counted by its kind: see
            `fans`. Any other shape is a dense kernel's or a convolution's. So in a call by itself the shape decides:
            `FanIn()((256, 8, 32))` is a kernel of Conv1D with 2,048 inputs. For one of `EinsumDense` or attention with
            256 pass the initializer to the layer, `kernel_initializer=FanIn()`, or draw (256, 256) and reshape.
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


class HeInitializer(FanInitializer):
    """Draws with variance 2 / ((1 + a^2) n_in); a subclass says from which `distribution`.

    Args:
        negative_slope: a.
        depthwise: see `FanInitializer`.
        seed: see `SeededInitializer`.

    Raises:
        ValueError: for a slope that is not finite, or another kind of seed.
    """

    def __init__(self, negative_slope: float = 0.0, depthwise: bool = False, seed: Any = None) -> None:
        super().__init__(self.distribution, depthwise, seed)
        if not isfinite(negative_slope):
            raise ValueError(f"negative_slope must be a finite number. Received: negative_slope={negative_slope}")
        self.negative_slope = negative_slope

    def variance(self, n_in: float, n_out: float) -> float:
        return 2 / ((1 + self.negative_slope**2) * n_in)

    def get_config(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope, **super().get_config()}


@keras.saving.register_keras_serializable(package="kerastricks")
class HeNormal(HeInitializer):
    """Draws weights from an untruncated normal distribution of mean 0 and variance 2 / ((1 + a^2) n_in).

    `a` is the slope of the activation in front for negative inputs: 0 for ReLU, which halves the second moment of
    its input. The signal keeps its scale through any number of layers, where variance 1 / n_in loses a factor 2
    in each. With tanh or no activation it makes the signal grow: `XavierNormal`, `FanIn`.

    Args:
        negative_slope: a; any finite number, 0 for ReLU, 0.25 for PReLU as it starts.
        depthwise: True for a depthwise kernel of a layer that is not Keras's own, whose n_in is k*k.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel, in Keras's layout. A layer of Keras's that adds it is known and counted by its kind: see
            `fans`. Any other shape is a dense kernel's or a convolution's.
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for a slope that is not finite, another kind of seed, or a shape that is no kernel's.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.HeNormal(0.18, seed=0)((3, 3, 16, 8)).shape
        TensorShape([3, 3, 16, 8])

    Reference:
        He, Zhang, Ren, Sun: Delving Deep into Rectifiers, ICCV 2015, equations 10 and 15.
        Keras's `he_normal` truncates at two standard deviations (and widens to keep the variance),
        has no slope, and counts k*k*C for depthwise kernels.
    """

    distribution = "normal"


@keras.saving.register_keras_serializable(package="kerastricks")
class HeUniform(HeInitializer):
    """Draws weights from a uniform distribution of mean 0 and variance 2 / ((1 + a^2) n_in).

    `a` is the slope of the activation in front for negative inputs: 0 for ReLU, which halves the second moment of
    its input. The signal keeps its scale through any number of layers, where variance 1 / n_in loses a factor 2
    in each. With tanh or no activation it makes the signal grow: `XavierNormal`, `FanIn`.

    Args:
        negative_slope: a; any finite number, 0 for ReLU, 0.25 for PReLU as it starts.
        depthwise: True for a depthwise kernel of a layer that is not Keras's own, whose n_in is k*k.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel, in Keras's layout. A layer of Keras's that adds it is known and counted by its kind: see
            `fans`. Any other shape is a dense kernel's or a convolution's.
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for a slope that is not finite, another kind of seed, or a shape that is no kernel's.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.HeUniform(0.18, seed=0)((3, 3, 16, 8)).shape
        TensorShape([3, 3, 16, 8])

    Reference:
        He, Zhang, Ren, Sun: Delving Deep into Rectifiers, ICCV 2015, equations 10 and 15. Deviation:
        the paper draws from a normal distribution; this is the uniform one of the same variance. Keras's
        `he_uniform` has no slope, and counts k*k*C for depthwise kernels.
    """

    distribution = "uniform"


class XavierInitializer(FanInitializer):
    """Draws with variance 2 / (n_in + n_out); a subclass says from which `distribution`.

    Args:
        depthwise: see `FanInitializer`.
        seed: see `SeededInitializer`.
    """

    def __init__(self, depthwise: bool = False, seed: Any = None) -> None:
        super().__init__(self.distribution, depthwise, seed)

    def variance(self, n_in: float, n_out: float) -> float:
        return 2 / (n_in + n_out)


@keras.saving.register_keras_serializable(package="kerastricks")
class XavierNormal(XavierInitializer):
    """Draws weights from an untruncated normal distribution of mean 0 and variance 2 / (n_in + n_out).

    The compromise between keeping the variance of the signal (1 / n_in) and that of the gradient (1 / n_out). It
    helps with tanh and other activations that are linear around 0; after ReLU, which halves the second moment,
    the signal halves in every layer of equal width: `HeNormal`.

    Args:
        depthwise: True for a depthwise kernel of a layer that is not Keras's own, whose n_in is k*k.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel, in Keras's layout. A layer of Keras's that adds it is known and counted by its kind: see
            `fans`. Any other shape is a dense kernel's or a convolution's.
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for another kind of seed, or a shape that is no kernel's.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.XavierNormal(seed=0)((3, 3, 16, 8)).shape
        TensorShape([3, 3, 16, 8])

    Reference:
        Glorot, Bengio: Understanding the Difficulty of Training Deep Feedforward Neural Networks, AISTATS 2010.
        Deviation: the paper's own draws are uniform (equation 16); this is the normal form of the same variance
        (equation 12). Wei's article, CS231n and Caffe use 1 / n_in under this name, which is `FanIn` here. Keras's
        `glorot_normal` truncates at two standard deviations (and widens to keep the variance), and counts k*k*C
        for depthwise kernels.
    """

    distribution = "normal"


@keras.saving.register_keras_serializable(package="kerastricks")
class XavierUniform(XavierInitializer):
    """Draws weights from a uniform distribution of mean 0 and variance 2 / (n_in + n_out).

    The compromise between keeping the variance of the signal (1 / n_in) and that of the gradient (1 / n_out). It
    helps with tanh and other activations that are linear around 0; after ReLU, which halves the second moment,
    the signal halves in every layer of equal width: `HeUniform`.

    Args:
        depthwise: True for a depthwise kernel of a layer that is not Keras's own, whose n_in is k*k.
        seed: an integer, a `keras.random.SeedGenerator`, or None.

    Call arguments:
        shape: of the kernel, in Keras's layout. A layer of Keras's that adds it is known and counted by its kind: see
            `fans`. Any other shape is a dense kernel's or a convolution's.
        dtype: of the kernel.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: for another kind of seed, or a shape that is no kernel's.

    Example:
        >>> import kerastricks
        >>> kerastricks.initializers.XavierUniform(seed=0)((3, 3, 16, 8)).shape
        TensorShape([3, 3, 16, 8])

    Reference:
        Glorot, Bengio: Understanding the Difficulty of Training Deep Feedforward Neural Networks, AISTATS 2010.
        Equation 16: U(-limit, limit), limit = sqrt(6 / (n_in + n_out)). Wei's article, CS231n and
        Caffe use 1 / n_in under this name, which is `FanIn` here. Keras's `glorot_uniform` is the same but for
        depthwise kernels, where it counts k*k*C.
    """

    distribution = "uniform"

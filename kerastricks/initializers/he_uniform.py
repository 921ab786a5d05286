"""He's initialization, uniform."""

import keras

from kerastricks.initializers.he_initializer import HeInitializer


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

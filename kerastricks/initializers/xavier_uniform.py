"""Xavier's initialization, uniform."""

import keras

from kerastricks.initializers.xavier_initializer import XavierInitializer


@keras.saving.register_keras_serializable(package="kerastricks")
class XavierUniform(XavierInitializer):
    """Draws weights from a uniform distribution of mean 0 and variance 2 / (n_in + n_out).

    The compromise between keeping the variance of the signal (1 / n_in) and that of the gradient (1 / n_out). It
    helps with tanh and other activations that are linear around 0; behind ReLU, which halves the second moment,
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

"""The L1 penalty."""

import keras

from kerastricks.regularizers.strength import check_strength


def l1(strength: float) -> keras.regularizers.L1:
    """Adds strength times the sum of the weights' magnitudes to the loss.

    The pull towards 0 is the same for small and large weights, so that many end next to 0 and few inputs
    are used. That helps where most inputs are noise; otherwise `l2` is nearly always better. With SGD the
    weights oscillate around 0 and rarely are exactly 0. It counts in training and in the loss that `evaluate`
    reports.

    Args:
        strength: lambda, 0 or more; 1e-6 to 1e-4 is usual.

    Returns:
        `keras.regularizers.L1(strength)`: a Keras object, so that a saved model loads without kerastricks.

    Raises:
        ValueError: for a strength that is negative or no finite number.

    Example:
        >>> import kerastricks, numpy
        >>> float(kerastricks.regularizers.l1(0.5)(numpy.array([3.0, -4.0], "float32")))  # 0.5 * 7
        3.5

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 6, after CS231n, Neural Networks
        Part 2: lambda |w|. The same as Keras's.
    """
    return keras.regularizers.L1(check_strength("strength", strength))

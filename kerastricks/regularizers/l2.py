"""The L2 penalty with its half."""

import keras

from kerastricks.regularizers.strength import check_strength


def l2(strength: float) -> keras.regularizers.L2:
    """Adds strength / 2 times the sum of the squared weights to the loss.

    The gradient of the penalty is strength * w, so that plain SGD shrinks every weight by the factor
    1 - learning rate * strength per step: weight decay. Large single weights cost most; the network uses
    all its inputs a little. It costs accuracy where the model underfits, and under Adam it is not the same as
    decoupled weight decay (`AdamW`). It counts in training and in the loss that `evaluate` reports.

    Args:
        strength: lambda, 0 or more; 1e-5 to 1e-3 is usual, 5e-4 with SGD on small images.

    Returns:
        `keras.regularizers.L2(strength / 2)`: a Keras object, so that a saved model loads without kerastricks.

    Raises:
        ValueError: for a strength that is negative or no finite number.

    Example:
        >>> import kerastricks, numpy
        >>> float(kerastricks.regularizers.l2(0.1)(numpy.array([3.0, 4.0], "float32")))  # 0.1 / 2 * 25
        1.25

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015, section 6, after CS231n, Neural Networks
        Part 2: 1/2 lambda w^2. Keras's own `L2(l)` is l w^2 without the half: `L2(5e-4)` is `l2(1e-3)`.
    """
    return keras.regularizers.L2(check_strength("strength", strength) / 2)

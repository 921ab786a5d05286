"""L1 and L2 together."""

import keras

from kerastricks.regularizers.strength import check_strength


def elastic_net(l1: float, l2: float) -> keras.regularizers.L1L2:
    """Adds l1 times the sum of the weights' magnitudes plus l2 times the sum of their squares to the loss.

    Sparse as L1, but weights of inputs that go together stay together. There is no half before the squares,
    as in the source: `elastic_net(0, l2)` is `l2(2 * l2)`. It counts in training and in the loss that
    `evaluate` reports.

    Args:
        l1: lambda_1, 0 or more.
        l2: lambda_2, 0 or more.

    Returns:
        `keras.regularizers.L1L2(l1, l2)`: a Keras object, so that a saved model loads without kerastricks.

    Raises:
        ValueError: for a strength that is negative or no finite number.

    Example:
        >>> import kerastricks, numpy
        >>> float(kerastricks.regularizers.elastic_net(0.5, 0.1)(numpy.array([3.0, -4.0], "float32")))
        6.0

    Reference:
        Zou, Hastie: Regularization and Variable Selection via the Elastic Net, 2005, section 2.1 (the naive
        form); lambda_1 |w| + lambda_2 w^2 as in Wei: Must Know Tips/Tricks in Deep Neural Networks, 2015,
        section 6, and CS231n, Neural Networks Part 2.
    """
    return keras.regularizers.L1L2(check_strength("l1", l1), check_strength("l2", l2))

"""A logistic regression on several classifiers' probabilities, as one model."""

from collections.abc import Sequence

import keras
import numpy as np

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.combining import combine
from kerastricks.ensemble.member import Member, as_members


def stack(
    models: Sequence[keras.Model | Member],
    kernel: np.ndarray,
    bias: np.ndarray,
    class_names: Sequence[Sequence[str]] | None = None,
) -> keras.Model:
    """Makes one model of several with a multinomial logistic regression on their log-probabilities at its end.

    It can learn which member to believe about which class, and needs labelled images that no member was trained on.

    Args:
        models: two or more classifiers, or `Member`s, which have names of classes of their own.
        kernel: (M * K, K), of M models and K classes; `fit_stacking` finds it.
        bias: (K,).
        class_names: for each model the names of its outputs; None where all have the same classes in the same order.

    Returns:
        A functional `keras.Model`, as of `combine`.

    Raises:
        EnsembleError: as of `combine`.
        ValueError: for a kernel or bias of another shape.

    Example:
        >>> import keras, kerastricks, numpy
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> kernel = numpy.concatenate([numpy.eye(2), numpy.eye(2)])
        >>> kerastricks.ensemble.stack([model(), model()], kernel, numpy.zeros(2)).output_shape
        (None, 2)

    Reference:
        Wolpert: Stacked generalization, Neural Networks 5, 1992.
    """
    return combine(as_members(models, class_names), Combination("stack", kernel=kernel, bias=bias), name="stack")

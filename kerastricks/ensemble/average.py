"""The mean of several classifiers' probabilities, as one model."""

from collections.abc import Sequence

import keras
import numpy as np

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.combining import combine
from kerastricks.ensemble.member import Member, as_members


def average(
    models: Sequence[keras.Model | Member],
    weights: Sequence[float] | None = None,
    class_names: Sequence[Sequence[str]] | None = None,
) -> keras.Model:
    """Makes one model of several: a class's probability is the weighted mean of their probabilities.

    Late fusion as it is usually meant, and the safe choice.

    Args:
        models: two or more classifiers, or `Member`s, which have names of classes of their own.
        weights: one for each, at least 0 and of sum 1; None for equal ones.
        class_names: for each model the names of its outputs; None where all have the same classes in the same order.

    Returns:
        A functional `keras.Model`, as of `combine`.

    Raises:
        EnsembleError: as of `combine`.
        ValueError: for weights that are negative or not of sum 1.

    Example:
        >>> import keras, kerastricks, numpy
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> both = kerastricks.ensemble.average([model(), model()], weights=[0.75, 0.25])
        >>> both.predict_on_batch(numpy.zeros((1, 3)))
        array([[0.5, 0.5]], dtype=float32)
    """
    combination = Combination("mean", weights=None if weights is None else np.asarray(weights, "float64"))
    return combine(as_members(models, class_names), combination, name="average")

"""The votes of several classifiers, as one model."""

from collections.abc import Sequence

import keras
import numpy as np

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.combining import combine
from kerastricks.ensemble.member import Member, as_members


def vote(
    models: Sequence[keras.Model | Member],
    weights: Sequence[float] | None = None,
    class_names: Sequence[Sequence[str]] | None = None,
) -> keras.Model:
    """Makes one model of several: a class's probability is the share of members whose most probable class it is.

    How sure members are is lost; ties are broken by the mean of probabilities.

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
        >>> import keras, kerastricks
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> kerastricks.ensemble.vote([model(), model(), model()]).output_shape
        (None, 2)
    """
    combination = Combination("vote", weights=None if weights is None else np.asarray(weights, "float64"))
    return combine(as_members(models, class_names), combination, name="vote")

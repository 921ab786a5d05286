"""One ordinary Keras model of several classifiers.

The mean of several classifiers' probabilities, as one model.
The geometric mean of several classifiers' probabilities, as one model.
The votes of several classifiers, as one model.
A logistic regression on several classifiers' probabilities, as one model.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.member import Member, as_members
from kerastricks.ensemble.outputs import stacked_outputs
from kerastricks.errors import EnsembleError
from kerastricks.layers.combine_members import CombineMembers


def combine(
    members: Sequence[Member | keras.Model], combination: Combination | None = None, name: str = "ensemble"
) -> keras.Model:
    """Makes one model from pixels to probabilities of several classifiers.

    Args:
        members: two or more; a model without names of classes counts as a `Member` of the same classes.
        combination: how their distributions become one; None for the mean of their probabilities.
        name: of the model.

    Returns:
        A functional `keras.Model` from the images of `shared_pixels`, 0 to 255, to float32 probabilities over the
        classes of `align_classes`. It is saved, loaded, compiled, fitted and exported as any other; its last layer is
        a softmax, so that it can be a member or a teacher. The members' layers are its layers: fitting it changes
        them. One input, one preprocessing where the members agree, and one call for all of them.

    Raises:
        EnsembleError: for fewer than two members, members that cannot be one model, or a combination for another
            number of members or classes.

    Example:
        >>> import keras, kerastricks
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> kerastricks.ensemble.combine([model(), model()], kerastricks.ensemble.Combination("geometric")).output_shape
        (None, 2)
    """
    members = as_members(members)
    pixels, outputs = stacked_outputs(members)
    return keras.Model(pixels, put_combination(outputs, combination), name=name)


def put_combination(outputs: Any, combination: Combination | None) -> Any:
    """From the members' log-probabilities (batch, M, K) to probabilities (batch, K), symbolic.

    Raises:
        EnsembleError: for a combination for another number of members or classes.
    """
    combination = combination or Combination("mean")
    count, classes = outputs.shape[1:]
    fits = combination.members in (None, count)
    if not fits or (combination.bias is not None and len(combination.bias) != classes):
        wanted = f"{combination.members} members" + (
            "" if combination.bias is None else f" and {len(combination.bias)} classes"
        )
        raise EnsembleError(
            f"combination {combination.method!r} is for {wanted}. Received: {count} members of {classes} classes; fit "
            "it to these members"
        )
    layer = CombineMembers(combination.method, dtype="float32", name="combination")
    combined = layer(outputs)
    layer.set_values(
        combination.weights, combination.temperatures, combination.temperature, combination.kernel, combination.bias
    )
    return keras.layers.Softmax(dtype="float32", name="probabilities")(combined)


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


def geometric_mean(
    models: Sequence[keras.Model | Member],
    weights: Sequence[float] | None = None,
    class_names: Sequence[Sequence[str]] | None = None,
) -> keras.Model:
    """Makes one model of several: a class's probability is the normalised geometric mean of their probabilities.

    The weighted mean of logits is the same thing. Sharper than the mean; a member that excludes a class excludes it for
    all.

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
        >>> both = kerastricks.ensemble.geometric_mean([model(), model()], weights=[0.75, 0.25])
        >>> both.predict_on_batch(numpy.zeros((1, 3)))
        array([[0.5, 0.5]], dtype=float32)
    """
    combination = Combination("geometric", weights=None if weights is None else np.asarray(weights, "float64"))
    return combine(as_members(models, class_names), combination, name="geometric_mean")


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

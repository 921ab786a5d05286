"""One ordinary Keras model of several classifiers, whose predictions a `Combination` makes one: late fusion."""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.member import Member, as_members
from kerastricks.ensemble.outputs import stacked_outputs
from kerastricks.errors import EnsembleError
from kerastricks.layers.combine_members import CombineMembers


def combine(
    members: Sequence[Member | keras.Model], combination: Combination | str = "mean", name: str = "ensemble"
) -> keras.Model:
    """Build one model, from pixels to probabilities, of several classifiers.

    Args:
        members: two or more; a model without class names counts as a `Member` with the same classes as the others.
        combination: how their distributions become one: "mean" of probabilities, the safe choice; "geometric" (or
            "logits"), sharper, in which one member can veto a class; "vote"; or a `Combination`, which holds weights,
            temperatures and the kernel of a stacking. `fit_combination` and `choose` fit one to validation images.
        name: of the model.

    Returns:
        A functional `keras.Model` from the images of `shared_pixels`, 0 to 255, to float32 probabilities over the
        classes of `align_classes`. It is saved, loaded, compiled, fitted and exported as any other; its last layer is
        a softmax, so that it can be a member or a teacher. The members' layers are its layers: fitting it changes
        them. One input, one preprocessing where the members agree, and one call for all of them.

    Raises:
        EnsembleError: for fewer than two members, members that cannot be one model, or a combination for another
            number of members or classes.
        ValueError: for an unknown method, or one that has to be fitted first.

    Example:
        >>> import keras, kerastricks, numpy
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> kerastricks.ensemble.combine([model(), model()], "geometric").output_shape
        (None, 2)
        >>> weighted = kerastricks.ensemble.Combination("mean", weights=[0.75, 0.25])
        >>> kerastricks.ensemble.combine([model(), model()], weighted).predict_on_batch(numpy.zeros((1, 3)))
        array([[0.5, 0.5]], dtype=float32)
    """
    members = as_members(members)
    pixels, outputs = stacked_outputs(members)
    return keras.Model(pixels, put_combination(outputs, combination), name=name)


def put_combination(outputs: Any, combination: Combination | str) -> Any:
    """Combine the members' log-probabilities (batch, M, K) into probabilities (batch, K), symbolically.

    Raises:
        EnsembleError: for a combination for another number of members or classes.
    """
    if isinstance(combination, str):
        combination = Combination(combination)
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

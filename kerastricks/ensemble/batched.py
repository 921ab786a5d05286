"""An ensemble of one architecture as one batched network."""

from collections.abc import Sequence

import keras

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.combining import put_combination
from kerastricks.ensemble.inputs import align_classes, shared_pixels
from kerastricks.ensemble.member import Member, as_members
from kerastricks.ensemble.soup import check_same_network
from kerastricks.errors import EnsembleError
from kerastricks.keras_graph import all_layers
from kerastricks.layers.batched_members import BatchedMembers


def batched(models: Sequence[keras.Model | Member], combination: Combination | None = None) -> keras.Model:
    """Makes one model of several of one architecture, whose weights are stacked and which run as one.

    The outputs are those of `combine`. For inference: the weights are copies and not trainable. It is meant
    for JAX on an accelerator that small members leave idle, where it has not been measured; on a CPU `combine` is as
    fast or faster (`BatchedMembers` says why).

    Args:
        models: two or more classifiers of one architecture, or `Member`s with the same classes in any order and the
            same images.
        combination: how their distributions become one; None for the mean of their probabilities.

    Returns:
        A functional `keras.Model` from pixels to probabilities.

    Raises:
        EnsembleError: for unequal architectures, an adapted `Normalization`, classes that are not the same, images
            that are not cut in the same way, or fewer than two members.

    Example:
        >>> import keras, kerastricks
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> kerastricks.ensemble.batched([model(), model(), model()]).output_shape
        (None, 2)
    """
    members = as_members(models)
    check_same_network([member.model for member in members])
    _refuse_adapted(members)
    alignment, shared = align_classes(members), shared_pixels(members)
    if len(alignment.generalists) < len(members) or not shared.agree:
        raise EnsembleError(
            "members of a batched network must know the same classes and cut images in the same way. Received: members "
            "that do not; use combine"
        )
    parts = [member.log_probabilities(f"member_{index}") for index, member in enumerate(members)]
    pixels = keras.Input(shared.image_shape, dtype="float32", name="pixels")
    layer = BatchedMembers(parts[0], len(parts), dtype="float32", name="members")
    outputs = layer(pixels)
    layer.set_members(parts)
    if any(positions != alignment.positions[0] for positions in alignment.positions):
        outputs = alignment.align([outputs[:, index] for index in range(len(parts))])
    return keras.Model(pixels, put_combination(outputs, combination), name="batched")


def _refuse_adapted(members: Sequence[Member]) -> None:
    """Their constants are no weights, which are all that is stacked."""
    for member in members:
        for layer in all_layers(member.model):
            if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
                raise EnsembleError(
                    f"member {member.name!r}: layer {layer.name!r} was adapted to data, and a batched network has one "
                    "for all members. Give Normalization its mean and variance, or use combine"
                )

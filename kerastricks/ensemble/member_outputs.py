"""What all members of an ensemble say, as one model."""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.ensemble.inputs import align_classes
from kerastricks.ensemble.member import Member, as_members
from kerastricks.ensemble.shared_pixels import shared_pixels


def member_outputs(members: Sequence[Member | keras.Model]) -> keras.Model:
    """Runs all members on the same images and stacks their log-probabilities over the same classes.

    Args:
        members: two or more; models without names of classes count as `Member`s of the same classes.

    Returns:
        A functional model from the images of `shared_pixels`, 0 to 255, to (batch, M, K) float32 log-probabilities
        over the classes of `align_classes`. The members' layers are its layers, in nested models "member_0",
        "member_1" ...: no weight is copied, and training it trains them.

    Raises:
        EnsembleError: for members that cannot be one model.

    Example:
        >>> import keras, kerastricks
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> kerastricks.ensemble.member_outputs([model(), model(), model()]).output_shape
        (None, 3, 2)
    """
    pixels, outputs = stacked_outputs(as_members(members))
    return keras.Model(pixels, outputs, name="members")


def stacked_outputs(members: Sequence[Member]) -> tuple[Any, Any]:
    """The symbolic input and output of `member_outputs`."""
    alignment, shared = align_classes(members), shared_pixels(members)
    pixels = keras.Input(shared.image_shape, dtype="float32", name="pixels")
    found = [
        member.log_probabilities(f"member_{index}")(shared.for_member(pixels, member))
        for index, member in enumerate(members)
    ]
    return pixels, alignment.align(found)

"""Features and log-probabilities of all members, as models of one input."""

from collections.abc import Sequence
from typing import Any

import keras

from kerastricks.ensemble.inputs import align_classes, shared_pixels
from kerastricks.ensemble.member import Member, as_members
from kerastricks.errors import EnsembleError
from kerastricks.keras_graph import producing_node, split_head
from kerastricks.models.head import free_name


def member_features(members: Sequence[Member | keras.Model]) -> keras.Model:
    """Build a model that concatenates the features of all members.

    A member's features are what its last layer gets, the one that gives logits (or probabilities): all of it, where
    that layer joins several branches; maps are averaged over height and width. Members need not know the same classes.

    Args:
        members: two or more.

    Returns:
        A functional model from the images of `shared_pixels`, 0 to 255, to (batch, D) float32, D being the sum over
        the members. Its layers are the members'.

    Raises:
        EnsembleError: for members that cannot be one model, or one without a layer that gets features.

    Example:
        >>> import keras, kerastricks
        >>> def model(units):
        ...     layers = keras.layers
        ...     return keras.Sequential([keras.Input((3,)), layers.Dense(units), layers.Dense(2, activation="softmax")])
        >>> kerastricks.ensemble.member_features([model(4), model(5)]).output_shape
        (None, 9)
    """
    members = as_members(members)
    shared = shared_pixels(members)
    pixels = keras.Input(shared.image_shape, dtype="float32", name="pixels")
    found = [
        features_and_outputs(member, f"member_{index}")(shared.for_member(pixels, member))[0]
        for index, member in enumerate(members)
    ]
    return keras.Model(
        pixels, keras.layers.Concatenate(name="features", dtype="float32")(found), name="member_features"
    )


def features_and_outputs(member: Member, name: str) -> keras.Model:
    """A model from a member's pixels to its features (batch, D) and log-probabilities (batch, K), in one pass."""
    outputs = member.log_probabilities(name)
    body, _ = split_head(member.model)
    taken = {layer.name for layer in (*body.layers, *outputs.layers)}
    # Both over the member's own inputs, so that nothing is computed twice.
    rows = [_rows(tensor, member, taken) for tensor in _last_inputs(body, member)]
    joined = keras.layers.Concatenate(name=free_name("features", taken), dtype="float32")
    features = rows[0] if len(rows) == 1 else joined(rows)
    return keras.Model(outputs.inputs[0], [features, outputs.outputs[0]], name=name)


def _rows(tensor: Any, member: Member, taken: set[str]) -> Any:
    """Flatten or pool a layer's input to (batch, D) float32; names of new layers are added to `taken`."""
    if len(tensor.shape) == 4:
        kind = keras.layers.GlobalAveragePooling2D(
            data_format="channels_last", dtype="float32", name=free_name("pooled_features", taken)
        )
    else:
        kind = keras.layers.Flatten(dtype="float32", name=free_name("flat_features", taken))
    taken.add(kind.name)
    rows = kind(tensor)
    if rows.shape[-1] is None:
        raise EnsembleError(
            f"member {member.name!r}: its last layer must get features of fixed size. Received: shape "
            f"{tuple(tensor.shape)}; build it with a fixed keras.Input"
        )
    return rows


def _last_inputs(model: keras.Model, member: Member) -> list[Any]:
    """The inputs of the last layer of a functional model, also inside nested models."""
    node = producing_node(model.outputs[0])
    before = list(node.input_tensors)
    if not before:
        raise EnsembleError(
            f"member {member.name!r}: must have a layer whose inputs are features. Received: {member.model.name!r}, "
            "whose outputs are its inputs; leave it out, or combine probabilities"
        )
    if isinstance(node.operation, keras.Model):
        inner = node.operation
        found = keras.Model(inner.inputs, _last_inputs(inner, member))(before)
        return list(found) if isinstance(found, list | tuple) else [found]
    return before


def member_outputs(members: Sequence[Member | keras.Model]) -> keras.Model:
    """Build a model that stacks the log-probabilities of all members over the same classes.

    Args:
        members: two or more; models without class names count as `Member`s of the same classes.

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

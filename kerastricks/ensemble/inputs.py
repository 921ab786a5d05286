"""One input and one order of classes for members that differ in them: shared pixels and aligned outputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from kerastricks.data.fitting import Fitting
from kerastricks.ensemble.member import Member
from kerastricks.errors import EnsembleError
from kerastricks.models.head import adapt_pixels


@dataclass(frozen=True)
class Alignment:
    """Index of each class of an ensemble in the outputs of each member.

    Args:
        class_names: of the ensemble; None where no member names its classes.
        positions: for each member, for each class of the ensemble, the member's output; None where it has none.
    """

    class_names: tuple[str, ...] | None
    positions: tuple[tuple[int | None, ...], ...]

    @property
    def generalists(self) -> tuple[int, ...]:
        """The members that know all classes."""
        return tuple(index for index, positions in enumerate(self.positions) if None not in positions)

    def align(self, outputs: Sequence[Any]) -> Any:
        """(batch, M, K) log-probabilities over the ensemble's classes, of the members' own (batch, K_m).

        A member that knows a part S of the classes spreads over S, by its own distribution, the mass that the mean
        of the generalists gives to S; outside S it is that mean.
        """
        aligned: list[Any] = [None] * len(outputs)
        for index in self.generalists:
            aligned[index] = _take(outputs[index], self.positions[index])
        if len(self.generalists) < len(outputs):
            generalists = ops.stack([aligned[index] for index in self.generalists], axis=1)
            # The mean of probabilities: its logarithm but for a constant, which log_softmax puts right.
            general = ops.log_softmax(ops.logsumexp(generalists, axis=1), axis=-1)
            for index, positions in enumerate(self.positions):
                if index not in self.generalists:
                    aligned[index] = _complete(outputs[index], positions, general)
        return ops.stack(aligned, axis=1)


def align_classes(members: Sequence[Member]) -> Alignment:
    """Find each class in each member's outputs, by name.

    Orders that differ are permuted, the order of the result being that of the first generalist: a member that knows
    all classes of all members. A member that knows only some of them (a specialist) contributes to these.

    Args:
        members: with `class_names`, or all without and of equal width.

    Returns:
        An `Alignment`.

    Raises:
        EnsembleError: where some members name their classes and others do not, where widths differ and there are no
            names, or where no member knows all classes.

    Example:
        >>> import keras, kerastricks
        >>> def model():
        ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> one = kerastricks.ensemble.Member(model(), "one", ("cat", "dog"))
        >>> other = kerastricks.ensemble.Member(model(), "other", ("dog", "cat"))
        >>> kerastricks.ensemble.align_classes([one, other]).positions
        ((0, 1), (1, 0))

    Reference:
        Specialists: Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015, section 5. Deviation:
        there a specialist has one more class for all others and is consulted where the generalists find one of its
        classes likely, and the result is fitted per image; here no such class is needed and it is a closed form.
    """
    named = [member for member in members if member.class_names is not None]
    if not named:
        widths = {member.classes for member in members}
        if len(widths) > 1:
            found = ", ".join(f"{member.name!r} {member.classes}" for member in members)
            raise EnsembleError(
                f"members must have the same classes, or class_names that say which. Received numbers of classes: "
                f"{found}; give every member its class_names"
            )
        return Alignment(None, (tuple(range(widths.pop())),) * len(members))
    if len(named) < len(members):
        nameless = [member.name for member in members if member.class_names is None]
        raise EnsembleError(
            f"members {', '.join(map(repr, nameless))} have no class_names and others do: give them to all members"
        )
    union = {name for member in members for name in member.class_names or ()}
    generalist = next((member for member in members if union == set(member.class_names or ())), None)
    if generalist is None:
        lacks = "; ".join(
            f"{member.name!r} lacks {_some(sorted(union - set(member.class_names or ())))}" for member in members
        )
        raise EnsembleError(
            f"one member at least must know all {len(union)} classes. Received: {lacks}; train a member on all "
            "classes, or leave out those with classes that no other has"
        )
    order = generalist.class_names or ()
    indices = [{name: index for index, name in enumerate(member.class_names or ())} for member in members]
    return Alignment(order, tuple(tuple(of_member.get(name) for name in order) for of_member in indices))


def _take(log_probabilities: Any, positions: Sequence[int | None]) -> Any:
    """Reorder outputs."""
    order = [position for position in positions if position is not None]
    if order == list(range(log_probabilities.shape[-1])):
        return log_probabilities
    return ops.take(log_probabilities, order, axis=-1)


def _complete(log_probabilities: Any, positions: Sequence[int | None], general: Any) -> Any:
    """Complete a specialist's distribution to all classes."""
    known = [index for index, position in enumerate(positions) if position is not None]
    mass = ops.logsumexp(ops.take(general, known, axis=-1), axis=-1, keepdims=True)
    both = ops.concatenate([log_probabilities + mass, general], axis=-1)
    width = log_probabilities.shape[-1]
    order = [width + index if position is None else position for index, position in enumerate(positions)]
    return ops.take(both, order, axis=-1)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@dataclass(frozen=True)
class SharedPixels:
    """The input images of an ensemble, and how each member's are made of them.

    Args:
        image_shape: of the ensemble's input.
        fitting: how images are cut and resized to it.
        agree: whether the members take these images as they are.
    """

    image_shape: tuple[int | None, ...]
    fitting: Fitting
    agree: bool

    def for_member(self, pixels: Any, member: Member) -> Any:
        """Cut and resize the shared images as the member's own `fitting` would, symbolically."""
        if self.agree:
            return pixels
        height, width, _ = (side or 0 for side in self.image_shape)
        wanted_height, wanted_width, channels = (side or 0 for side in member.input_shape)
        fraction = member.fitting.crop_fraction / self.fitting.crop_fraction
        scale = min(height / wanted_height, width / wanted_width) * fraction
        box_height, box_width = max(1, round(wanted_height * scale)), max(1, round(wanted_width * scale))
        x = pixels
        if (box_height, box_width) != (height, width):
            top, left = (height - box_height) // 2, (width - box_width) // 2
            margins = ((top, height - box_height - top), (left, width - box_width - left))
            x = keras.layers.Cropping2D(margins, dtype="float32")(x)
        if (box_height, box_width) != (wanted_height, wanted_width):
            interpolation = member.fitting.interpolation
            x = keras.layers.Resizing(wanted_height, wanted_width, interpolation, antialias=True, dtype="float32")(x)
            x = ops.round(ops.clip(x, 0.0, 255.0))  # bytes, as the member was trained on; bicubic overshoots
        return adapt_pixels(x, (wanted_height, wanted_width, channels))


def shared_pixels(members: Sequence[Member]) -> SharedPixels:
    """Find the size and fitting of images that suit all members.

    Members that agree on size and fitting take the images as they are. Where they do not, the ensemble takes images
    large enough for each (a member's side divided by the part that it keeps), in colour where one takes colour; each
    member's centred box, size, interpolation and channels are then made inside the ensemble. Images are thereby
    resized twice for some members, which blurs a little; members of another shape than the largest (a wide and a
    square one) see the part of the image that both keep.

    Args:
        members: one or more.

    Returns:
        A `SharedPixels`.

    Raises:
        EnsembleError: where members disagree and the size of one is not fixed, or an input is no image.

    Example:
        >>> import keras, kerastricks
        >>> def member(side, fraction):
        ...     model = keras.Sequential([keras.Input((side, side, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        ...     fitting = kerastricks.data.Fitting(crop_fraction=fraction)
        ...     return kerastricks.ensemble.Member(model, f"{side}", fitting=fitting)
        >>> kerastricks.ensemble.shared_pixels([member(56, 0.875), member(48, 1.0)]).image_shape
        (64, 64, 3)
    """
    first = members[0]
    if all((member.input_shape, member.fitting) == (first.input_shape, first.fitting) for member in members):
        return SharedPixels(first.input_shape, first.fitting, agree=True)
    for member in members:
        shape = member.input_shape
        if len(shape) != 3 or None in shape or shape[-1] not in (1, 3):
            raise EnsembleError(
                f"member {member.name!r}: where members take different images, each must take (height, width, 1 or 3 "
                f"channels) of fixed size. Received: {shape}; build it with a fixed keras.Input"
            )
    # What all of them cut off need not be in the shared image.
    kept = max(member.fitting.crop_fraction for member in members)
    sides = [
        max(
            math.ceil(round((member.input_shape[axis] or 0) * kept / member.fitting.crop_fraction, 6))
            for member in members
        )
        for axis in (0, 1)
    ]
    channels = max(member.input_shape[-1] or 0 for member in members)
    interpolations = {member.fitting.interpolation for member in members}
    interpolation = interpolations.pop() if len(interpolations) == 1 else "bilinear"
    return SharedPixels((*sides, channels), Fitting(kept, interpolation), agree=False)

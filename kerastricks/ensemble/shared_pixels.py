"""One input for members that cut and resize their images in different ways."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from kerastricks.data.fitting import Fitting
from kerastricks.ensemble.member import Member
from kerastricks.errors import EnsembleError
from kerastricks.models.adapt_pixels import adapt_pixels


@dataclass(frozen=True)
class SharedPixels:
    """The images that an ensemble is given, and what becomes of them for each member.

    Args:
        image_shape: of the ensemble's input.
        fitting: how images are cut and resized to it.
        agree: whether the members take these images as they are.
    """

    image_shape: tuple[int | None, ...]
    fitting: Fitting
    agree: bool

    def for_member(self, pixels: Any, member: Member) -> Any:
        """The member's images, of the shared ones: what its own `fitting` would make of them. Symbolic."""
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
    """Finds the images that all members can be given.

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

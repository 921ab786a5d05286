"""Executor of colour ops: one multiply-add and one clamp for a run of linear changes of colours."""

from collections.abc import Sequence
from typing import Any

from kerastricks.augment.op import ColourMap, Parameters

WHITE = 255.0


class Clip(ColourMap):
    """End of a run of colour maps: clips to 0-255. Its matrix is the identity."""

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        return xp.ones((1, 1)), xp.zeros((1, 1))


class ColourStep:
    """Executes a run of colour maps with at most one clip, after which only positive factors per channel may come.

    Args:
        ops: in the order of the spec.
        image_shape: (height, width, channels).
    """

    def __init__(self, ops: Sequence[ColourMap], image_shape: tuple[int, int, int]) -> None:
        self.ops = tuple(ops)
        self.image_shape = image_shape

    def __call__(self, images: Any, parameters: Sequence[Parameters], xp: Any) -> Any:
        """images: (batch, height, width, channels) of any dtype. Returns float32."""
        height, width, channels = self.image_shape
        images = xp.cast(images, "float32")
        rows = xp.reshape(images, (-1, height, width * channels))
        mean = None
        if any(op.needs_mean for op in self.ops):
            # Over rows first: a sum whose inner axis is the channels' is slow on a processor.
            mean = xp.mean(xp.reshape(xp.mean(rows, axis=1), (-1, width, channels)), axis=1)
        gain: Any = xp.ones((1, channels))
        shift: Any = xp.zeros((1, channels))
        bounds: tuple[Any, Any] | None = None
        for op, chosen in zip(self.ops, parameters, strict=True):
            if isinstance(op, Clip):
                bounds = xp.zeros((1, channels)), xp.full((1, channels), WHITE)
                continue
            more, plus = op.matrix(chosen, mean, xp)
            if mean is not None:
                mean = _times(more, mean, xp) + plus
            gain, shift = _after(more, gain, xp), _times(more, shift, xp) + plus
            if bounds is not None:
                bounds = tuple(more * bound + plus for bound in bounds)

        # The channels' factors side by side for a whole row: three at a time would not fill a vector register.
        def across(values: Any) -> Any:
            return xp.tile(values, (1, width))[:, None]

        if len(gain.shape) == 2:
            result = rows * across(gain)
        else:
            # A sum over the matrix's three diagonals, each with the pixels' channels turned: XLA would compute what
            # comes before anew for each channel of a product of matrices.
            result = 0
            for turn in range(channels):
                order = [(channel + turn) % channels for channel in range(channels)]
                turned = xp.stack([images[..., source] for source in order], axis=-1) if turn else images
                factors = xp.stack([gain[:, channel, source] for channel, source in enumerate(order)], axis=-1)
                result = result + xp.reshape(turned, (-1, height, width * channels)) * across(factors)
        result = result + across(shift)
        if bounds is not None:
            result = xp.minimum(xp.maximum(result, across(bounds[0])), across(bounds[1]))
        return xp.reshape(result, (-1, height, width, channels))


def is_fusible(before: Sequence[ColourMap], op: ColourMap) -> bool:
    """Whether `op` can join the step: only `normalize` can be moved through the clip."""
    if not any(isinstance(other, Clip) for other in before):
        return True
    return op.ends_raw


def _times(gain: Any, colour: Any, xp: Any) -> Any:
    if len(gain.shape) == 2:
        return gain * colour
    return xp.sum(gain * colour[:, None, :], axis=-1)


def _after(later: Any, earlier: Any, xp: Any) -> Any:
    """The gain of `earlier`, then `later`."""
    if len(later.shape) == 2:
        return later * earlier if len(earlier.shape) == 2 else later[:, :, None] * earlier
    if len(earlier.shape) == 2:
        return later * earlier[:, None, :]
    return xp.sum(later[:, :, :, None] * earlier[:, None, :, :], axis=2)

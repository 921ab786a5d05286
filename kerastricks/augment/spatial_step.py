"""Executor of spatial ops: one gather or one resampling for a run of ops that move pixels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from kerastricks.augment.coordinates import Coordinates
from kerastricks.augment.op import Erasure, GeometricMap, IndexMap, Parameters, SpatialOp


class Store(NamedTuple):
    """Images in memory as a run of pixels.

    Args:
        pixels: (images * height * width + 1, channels) uint8; the last one is black.
        index: (batch,) int, the images of this batch.
        wide: whether places do not fit into 32 bits.
    """

    pixels: Any
    index: Any
    wide: bool = False


class SpatialStep:
    """Executes a run of spatial ops, in which none that erases stands before one that resamples.

    Args:
        ops: in the order of the spec.
        image_shape: (height, width, channels); int32 scalars where only the running graph knows them.
        size: (height, width) of the result, where the ops are index maps that cut it out; None: the images'.
        fill: what "black" is, in the dtype of the images.
    """

    def __init__(
        self,
        ops: Sequence[SpatialOp],
        image_shape: tuple[Any, Any, int],
        size: tuple[int, int] | None = None,
        fill: float = 0.0,
    ) -> None:
        self.ops = tuple(ops)
        self.image_shape = image_shape
        self.size = size
        self.fill = fill
        self.resamples = any(isinstance(op, GeometricMap) for op in ops)
        self.moves = not all(isinstance(op, Erasure) for op in ops)

    def __call__(self, images: Any, parameters: Sequence[Parameters], xp: Any) -> Any:
        """images: (batch, height, width, channels), or a `Store`. Returns their dtype, float32 if it resamples."""
        height, width, channels = self.image_shape
        if isinstance(images, Store):
            pixels = images.pixels
            first = xp.cast(images.index, "int64" if images.wide else "int32") * (height * width)
        else:
            pixels = xp.reshape(images, (-1, channels))
            if not self.resamples and any(
                isinstance(op, IndexMap) and op.leaves and op.outside == "black" for op in self.ops
            ):
                black = xp.cast(xp.full((1, channels), self.fill), pixels.dtype)
                pixels = xp.concatenate([pixels, black], axis=0)
            first = xp.arange(xp.shape(images)[0], dtype="int32") * (height * width)
        source = Coordinates(height, width, self.resamples, xp, self.size)
        for op, chosen in zip(reversed(self.ops), reversed(list(parameters)), strict=True):
            source.through(op, chosen)
        if self.moves or isinstance(images, Store):
            result = (_sample if self.resamples else _gather)(pixels, first, source, xp)
        else:
            result = images
        for mask, op, chosen in reversed(source.erased):
            painted = xp.reshape(op.colour(chosen, xp), (-1, 1, 1, channels))
            result = _painted(result, mask[..., None], xp.cast(painted, result.dtype), xp)
        return xp.reshape(result, (-1, *(self.size or (height, width)), channels))


def is_fusible(before: Sequence[SpatialOp], op: SpatialOp) -> bool:
    """Whether `op` can go into the same step as those before it: the edge of an erased box must be resampled too."""
    return not (isinstance(op, GeometricMap) and any(isinstance(other, Erasure) for other in before))


def _painted(images: Any, mask: Any, colour: Any, xp: Any) -> Any:
    if "float" not in str(images.dtype):
        return xp.where(mask, colour, images)
    # No `where`: after an interpolation it takes XLA on a CPU twice as long.
    share = xp.cast(mask, images.dtype)
    return images * (1.0 - share) + colour * share


def _gather(pixels: Any, first: Any, source: Coordinates, xp: Any) -> Any:
    rows = first[:, None] + xp.cast(source.y, first.dtype) * source.width
    places = rows[:, :, None] + xp.cast(source.x, first.dtype)[:, None, :]
    if source.visible is not None:
        places = xp.where(source.visible, places, xp.cast(xp.shape(pixels)[0] - 1, first.dtype))
    return xp.take(pixels, places, axis=0)


def _sample(pixels: Any, first: Any, source: Coordinates, xp: Any) -> Any:
    """Bilinear: the four pixels around each place."""
    height, width = source.height, source.width
    # The upper left one; one further where the last row or column itself is meant.
    top, left = (xp.minimum(xp.floor(p), max(n - 2, 0)) for p, n in ((source.y, height), (source.x, width)))
    down, right = source.y - top, source.x - left
    corner = first[:, None, None] + xp.cast(top, first.dtype) * width + xp.cast(left, first.dtype)
    below, beside = width if height > 1 else 0, 1 if width > 1 else 0
    weights = ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right)
    result = 0
    for weight, step in zip(weights, (0, beside, below, below + beside), strict=True):
        if source.visible is not None:
            weight = weight * source.visible
        result = result + weight[..., None] * xp.cast(xp.take(pixels, corner + step, axis=0), "float32")
    return result

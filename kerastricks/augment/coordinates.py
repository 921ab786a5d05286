"""Source coordinates of a result's pixels, traced back through spatial ops."""

from typing import Any

from kerastricks.augment.op import Erasure, GeometricMap, IndexMap, Parameters, SpatialOp


class Coordinates:
    """Source rows `y` and columns `x` of the pixels of a result.

    Args:
        height: of the images, in pixels; an int32 scalar where only the running graph knows it and nothing resamples.
        width: likewise.
        resamples: whether an op does.
        xp: the namespace.
        size: (height, width) of the result, where whole rows and columns are cut out; None: the images'.

    As long as whole rows and columns move, `y` is (batch or 1, height) and `x` (batch or 1, width), int32. Where an op
    resamples, both are float32 and broadcast to (batch, height, width).

    Attributes:
        visible: (batch, height, width): whether a pixel comes from inside the image; where an op resamples, how much
            of it does, from 0 to 1: what a bilinear interpolation reads at a black border is the edge's colour times
            that. None: all of all.
        erased: for each erasure, last one first: where its box is seen, the op, its parameters.
    """

    def __init__(self, height: Any, width: Any, resamples: bool, xp: Any, size: tuple[int, int] | None = None) -> None:
        self.height, self.width = height, width
        self.xp = xp
        self.resamples = resamples
        rows, columns = size or (height, width)
        self.y: Any = xp.arange(rows, dtype="int32")[None]
        self.x: Any = xp.arange(columns, dtype="int32")[None]
        if resamples:
            self.y = xp.cast(self.y, "float32")[:, :, None]
            self.x = xp.cast(self.x, "float32")[:, None, :]
        self.visible: Any = None
        self.erased: list[tuple[Any, Erasure, Parameters]] = []

    def through(self, op: SpatialOp, parameters: Parameters) -> None:
        """Maps coordinates of the op's result to coordinates of its input."""
        xp = self.xp
        # One number an image meets all of its coordinates.
        tall = (-1, 1, 1) if self.resamples else (-1, 1)
        numbers = {name: xp.reshape(value, tall) for name, value in parameters.items() if len(value.shape) == 1}
        if isinstance(op, Erasure):
            box = op.box(numbers, self.height, self.width, xp)
            top, bottom, left, right = (xp.cast(edge, self.y.dtype) for edge in box)
            mask = self._both(
                xp.logical_and(self.y >= top, self.y < bottom), xp.logical_and(self.x >= left, self.x < right)
            )
            if self.visible is not None:
                mask = xp.logical_and(mask, self.visible > 0.5 if self.resamples else self.visible)
            self.erased.append((mask, op, parameters))
            return
        if isinstance(op, GeometricMap):
            self._turn(op.matrix(numbers, self.height, self.width, xp))
        else:
            assert isinstance(op, IndexMap)
            self.y = op.rows(self.y, numbers, self.height, xp)
            self.x = op.columns(self.x, numbers, self.width, xp)
            if not op.leaves:
                return
        if op.outside == "reflect":
            self.y, self.x = _mirrored(self.y, self.height, xp), _mirrored(self.x, self.width, xp)
        elif op.outside == "nearest":
            self._stay_inside()
        else:
            self._hide_outside()

    def _turn(self, matrix: tuple[Any, ...]) -> None:
        a, b, c, d, e, f = matrix
        middle_y, middle_x = (self.height - 1) / 2, (self.width - 1) / 2
        y, x = self.y - middle_y, self.x - middle_x
        self.x = a * x + b * y + (c + middle_x)
        self.y = d * x + e * y + (f + middle_y)

    def _hide_outside(self) -> None:
        xp = self.xp
        if self.resamples:
            inside_y, inside_x = (
                xp.clip(xp.minimum(place + 1.0, size - place), 0.0, 1.0)
                for place, size in ((self.y, self.height), (self.x, self.width))
            )
            inside = inside_y * inside_x
            self.visible = inside if self.visible is None else self.visible * inside
            self._stay_inside()
        else:
            inside = self._both(
                xp.logical_and(self.y >= 0, self.y < self.height), xp.logical_and(self.x >= 0, self.x < self.width)
            )
            self.visible = inside if self.visible is None else xp.logical_and(self.visible, inside)

    def _stay_inside(self) -> None:
        self.y = self.xp.clip(self.y, 0, self.height - 1)
        self.x = self.xp.clip(self.x, 0, self.width - 1)

    def _both(self, rows: Any, columns: Any) -> Any:
        if not self.resamples:
            rows, columns = rows[:, :, None], columns[:, None, :]
        return self.xp.logical_and(rows, columns)


def _mirrored(place: Any, size: Any, xp: Any) -> Any:
    """Mirrored at the middle of the edge pixels, as often as it takes."""
    period = max(2 * (size - 1), 1) if isinstance(size, int) else xp.maximum(2 * (size - 1), 1)
    place = xp.abs(place)
    place = place - period * (place // period)
    return xp.clip((size - 1) - xp.abs((size - 1) - place), 0, size - 1)  # rounding may leave it by a hair

"""What an op of an augmentation is, and the kinds that the planner can fuse.

An op is written once. It turns uniform draws into parameters, and parameters into where pixels come from or what
becomes of them, with the functions of a namespace `xp` that has the names and signatures of `keras.ops`. The host
executes it with TensorFlow's functions inside tf.data, the device with `keras.ops` inside the training step.

Images are (batch, height, width, channels), values 0 to 255. `Parameters` are tensors whose first axis is the batch.
"""

import copy
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

if TYPE_CHECKING:  # the command line checks a spec without it
    import numpy as np

Parameters = dict[str, Any]


class Statistics(Protocol):
    """Of the training split's pixels, see `kerastricks.data.PixelStatistics`."""

    @property
    def mean(self) -> "np.ndarray":
        """(channels,), 0 to 255."""
        ...

    @property
    def std(self) -> "np.ndarray":
        """(channels,), above 0."""
        ...

    def eigen(self) -> "tuple[np.ndarray, np.ndarray]":
        """Eigenvalues, descending, and eigenvectors (a column each) of the covariance of pixels in [0, 1]."""
        ...


@dataclass(frozen=True)
class ImageSpec:
    """What an op may want to know of the images before it sees one.

    Args:
        image_shape: (height, width, channels) of what comes in and goes out.
        class_count: number of classes; None where there are no labels.
        statistics: of the training pixels; None where nobody measured them.
    """

    image_shape: tuple[int, int, int]
    class_count: int | None = None
    statistics: Statistics | None = None


class Draws(NamedTuple):
    """The randomness of one batch.

    Args:
        uniforms: (batch, k) float32 in [0, 1).
        epoch: scalar int, or None where nobody counts.
        index: (batch,) int, each image's place in the data set, or None.
    """

    uniforms: Any
    epoch: Any = None
    index: Any = None


class Op:
    """Base of all ops: subclasses are frozen dataclasses whose fields are the arguments of a spec.

    Attributes:
        uniforms: how many draws an image needs.
        neutral: parameters under which the op changes nothing; policies use them. Empty: none.
        wants_raw: whether it expects values 0 to 255, and so cannot stand behind an op that ends them.
        ends_raw: whether values are no longer 0 to 255 behind it.
        needs_place: whether it asks for epoch and index, which the device does not know.
    """

    uniforms: ClassVar[int] = 0
    neutral: ClassVar[dict[str, float]] = {}
    wants_raw: ClassVar[bool] = True
    ends_raw: ClassVar[bool] = False
    needs_place: ClassVar[bool] = False

    def bind(self, image_spec: ImageSpec) -> Self:
        """The op for such images; raises SpecError where it is none for them."""
        return self

    def knowing(self, **values: Any) -> Self:
        """A copy with fields set that a spec cannot set (`field(init=False)`), for `bind`."""
        copied = copy.copy(self)
        for name, value in values.items():
            object.__setattr__(copied, name, value)
        return copied

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        """What the draws mean: `draws.uniforms` is (batch, self.uniforms)."""
        return {}


def op_name(op: Op) -> str:
    """The op's name in a spec, its class's in snake case: "random_resized_crop"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(op).__name__).lower()


class SpatialOp(Op):
    """Says where the pixels of its result come from; neighbours are fused into one gather or one resampling.

    Attributes:
        outside: what lies beyond the image: "black", "reflect" (mirrored without the edge) or "nearest".
    """

    wants_raw = False
    outside: str = "black"


class IndexMap(SpatialOp):
    """Takes whole pixels from whole rows and columns: flip, crop, shift. Exact."""

    @property
    def leaves(self) -> bool:
        """Whether a place it asks for may lie outside the image."""
        return False

    def rows(self, y: Any, parameters: Parameters, height: int, xp: Any) -> Any:
        """Source rows of result rows `y`, both (batch or 1, n)."""
        return y

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        """Source columns of result columns `x`."""
        return x


class GeometricMap(SpatialOp, ABC):
    """Takes pixels from places in between by bilinear interpolation: rotate, shear, zoom."""

    @abstractmethod
    def matrix(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, ...]:
        """(a, b, c, d, e, f), each (batch,) or a number: the source of (x, y) is (a x + b y + c, d x + e y + f).

        Both in pixels from the image's centre, x to the right and y down.
        """


class Erasure(SpatialOp, ABC):
    """Paints over a box."""

    @abstractmethod
    def box(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, Any, Any, Any]:
        """top, bottom, left, right, each (batch,): rows top <= y < bottom, columns left <= x < right."""

    @abstractmethod
    def colour(self, parameters: Parameters, xp: Any) -> Any:
        """(batch or 1, channels): what it paints with."""


class ColourMap(Op, ABC):
    """Makes each pixel's colour a matrix times it plus a shift, per image; neighbours are fused into one.

    A run of colour maps is clipped to 0-255 once, at its end.

    Attributes:
        needs_mean: whether `matrix` asks for the mean colour of each image.
        mixes_channels: whether its gain is a matrix.
    """

    needs_mean: ClassVar[bool] = False
    mixes_channels: ClassVar[bool] = False

    @abstractmethod
    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        """gain and shift: gain is (batch or 1, channels), a factor per channel, or (batch or 1, channels, channels),
        a row per channel of the result; shift is (batch or 1, channels). `mean` is (batch, channels) or None."""


class PixelOp(Op, ABC):
    """Changes each pixel by itself, not linearly: HSV power, gamma, posterise, solarise."""

    @abstractmethod
    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        """Float images 0-255 to the same."""


class ImageOp(Op, ABC):
    """Changes pixels by their neighbours or by the whole image: blur, sharpness, equalise, autocontrast."""

    @abstractmethod
    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        """Float images 0-255 to the same."""


class MixOp(Op, ABC):
    """Mixes each image with another of its batch, and their labels alike."""

    wants_raw = False

    @abstractmethod
    def mix(self, images: Any, labels: Any, parameters: Parameters, xp: Any) -> tuple[Any, Any]:
        """Float images and labels (batch, classes) float to the same."""


class Policy(Op, ABC):
    """Draws ops per image: stands for a sequence of members of which most are neutral for each image."""

    @property
    @abstractmethod
    def members(self) -> tuple[Op, ...]:
        """In the order they are applied."""

    @abstractmethod
    def member_parameters(self, number: int, draws: Draws, xp: Any) -> Parameters:
        """Those of one of `members`, by its place: neutral ones where an image did not draw it."""

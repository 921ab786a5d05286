"""Base classes of augmentation ops: one per kind that the planner can fuse.

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
    """Statistics of the training split's pixels, see `kerastricks.data.PixelStatistics`."""

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
    """Description of the images that an op is bound to.

    Args:
        image_shape: (height, width, channels) of what comes in and goes out.
        class_count: number of classes; None where there are no labels.
        statistics: of the training pixels; None where they were not measured.
        class_counts: training images of each class; None where they are not known.
    """

    image_shape: tuple[int, int, int]
    class_count: int | None = None
    statistics: Statistics | None = None
    class_counts: tuple[int, ...] | None = None


class Draws(NamedTuple):
    """The randomness of one batch.

    Args:
        uniforms: (batch, k) float32 in [0, 1).
        epoch: scalar int, or None where epochs are not counted.
        index: (batch,) int, each image's index in the data set, or None.
        labels: (batch,) int, the images' classes, or None.
    """

    uniforms: Any
    epoch: Any = None
    index: Any = None
    labels: Any = None


class Op:
    """Base of all ops: subclasses are frozen dataclasses whose fields are the arguments of a spec.

    Attributes:
        uniforms: how many draws an image needs.
        neutral: parameters under which the op changes nothing; policies use them. Empty: none.
        wants_raw: whether it expects values 0 to 255, and so cannot come after an op that ends them.
        ends_raw: whether values are no longer 0 to 255 after it.
        needs_place: whether it asks for epoch, index or labels, which the device does not know.
    """

    uniforms: ClassVar[int] = 0
    neutral: ClassVar[dict[str, float]] = {}
    wants_raw: ClassVar[bool] = True
    ends_raw: ClassVar[bool] = False
    needs_place: ClassVar[bool] = False

    def bind(self, image_spec: ImageSpec) -> Self:
        """Binds the op to such images; raises SpecError where it does not fit them."""
        return self

    def knowing(self, **values: Any) -> Self:
        """A copy with fields set that a spec cannot set (`field(init=False)`), for `bind`."""
        copied = copy.copy(self)
        for name, value in values.items():
            object.__setattr__(copied, name, value)
        return copied

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        """Converts draws to parameters: `draws.uniforms` is (batch, self.uniforms)."""
        return {}


def op_name(op: Op) -> str:
    """The op's name in a spec, its class's in snake case: "random_resized_crop"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(op).__name__).lower()


class SpatialOp(Op):
    """Op that says where the pixels of its result come from; neighbours are fused into one gather or resampling.

    Attributes:
        outside: content beyond the image: "black", "reflect" (mirrored without the edge) or "nearest".
    """

    wants_raw = False
    outside: str = "black"


class IndexMap(SpatialOp):
    """Spatial op that takes whole pixels from whole rows and columns: flip, crop, shift. Exact."""

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
    """Spatial op that samples between pixels by bilinear interpolation: rotate, shear, zoom."""

    @abstractmethod
    def matrix(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, ...]:
        """(a, b, c, d, e, f), each (batch,) or a number: the source of (x, y) is (a x + b y + c, d x + e y + f).

        Both in pixels from the image's centre, x to the right and y down.
        """


class Erasure(SpatialOp, ABC):
    """Spatial op that paints over a box."""

    @abstractmethod
    def box(self, parameters: Parameters, height: int, width: int, xp: Any) -> tuple[Any, Any, Any, Any]:
        """top, bottom, left, right, each (batch,): rows top <= y < bottom, columns left <= x < right."""

    @abstractmethod
    def colour(self, parameters: Parameters, xp: Any) -> Any:
        """(batch or 1, channels): what it paints with."""


class ColourMap(Op, ABC):
    """Op that multiplies each pixel's colour by a matrix and adds a shift, per image; neighbours are fused.

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
    """Op that changes each pixel by itself, nonlinearly: HSV power, gamma, posterize, solarize."""

    @abstractmethod
    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        """Float images in 0-255, changed."""


class ImageOp(Op, ABC):
    """Op that changes pixels by their neighbours or the whole image: blur, sharpness, equalize, autocontrast."""

    @abstractmethod
    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        """Float images in 0-255, changed."""


class MixOp(Op, ABC):
    """Op that mixes each image with another of its batch, and their labels alike."""

    wants_raw = False

    @abstractmethod
    def mix(self, images: Any, labels: Any, parameters: Parameters, xp: Any) -> tuple[Any, Any]:
        """Mixed float images, and labels (batch, classes) float."""


class Policy(Op, ABC):
    """Op that draws ops per image: a sequence of members, most of which are neutral for a given image."""

    @property
    @abstractmethod
    def members(self) -> tuple[Op, ...]:
        """The member ops, in the order they are applied."""

    @abstractmethod
    def member_parameters(self, number: int, draws: Draws, xp: Any) -> Parameters:
        """Parameters of `members[number]`: neutral ones where an image did not draw it."""

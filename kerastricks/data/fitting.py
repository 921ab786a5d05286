"""Deterministic crop and resize of an image of any size to the size that a model takes."""

from dataclasses import dataclass

from kerastricks.errors import DataError

INTERPOLATIONS = ("bicubic", "bilinear")


@dataclass(frozen=True)
class Fitting:
    """The part of an image that is kept, and how it is resized.

    The largest centred box of the target's shape is shrunk about its centre and resized with antialiasing. Pretrained
    networks were evaluated with a box and an interpolation of their own: with others they lose accuracy.

    Args:
        crop_fraction: side of the box as a fraction of the largest one's, in (0, 1]. 224 / 256 is the usual one of
            networks that were trained on random crops.
        interpolation: "bilinear", or "bicubic" (Keys, a = -0.5, as Pillow's and torchvision's).

    Raises:
        DataError: for a value outside its range.

    Example:
        >>> import kerastricks
        >>> kerastricks.data.Fitting(crop_fraction=0.875, interpolation="bicubic")
        Fitting(crop_fraction=0.875, interpolation='bicubic')
    """

    crop_fraction: float = 1.0
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if not 0 < self.crop_fraction <= 1:
            raise DataError(f"crop_fraction must be in (0, 1]. Received: crop_fraction={self.crop_fraction!r}")
        if self.interpolation not in INTERPOLATIONS:
            raise DataError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}. "
                f"Received: interpolation={self.interpolation!r}"
            )


WHOLE = Fitting()

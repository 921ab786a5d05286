"""Arguments that several ops share: fractions, the pixels beyond the edge, the fill of a box, and luma."""

from kerastricks.augment.op import ImageSpec
from kerastricks.errors import SpecError


def check_fraction(op: str, **given: float) -> None:
    """Raises SpecError for the first argument that is not in [0, 1]."""
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise SpecError(f"{op}: {name} must be in [0, 1]. Received: {name}={value}")


OUTSIDE = ("black", "nearest", "reflect")


def check_outside(name: str, outside: str) -> None:
    """Raises SpecError for a name that is not in `OUTSIDE`."""
    if outside not in OUTSIDE:
        raise SpecError(f"{name}: outside must be one of {list(OUTSIDE)}. Received: outside={outside!r}")


def check_fill(name: str, fill: str, known: tuple[str, ...]) -> None:
    """Raises SpecError for a fill that is not `known`."""
    if fill not in known:
        raise SpecError(f"{name}: fill must be one of {list(known)}. Received: fill={fill!r}")


def fixed_colour(name: str, fill: str, image_spec: ImageSpec) -> tuple[float, ...]:
    """Colour of "black" or "mean", in whole numbers: an erased image keeps its dtype."""
    if fill == "black":
        return (0.0,) * image_spec.image_shape[-1]
    if image_spec.statistics is None:
        raise SpecError(f"{name}: fill='mean' needs the mean of the training images: give their statistics")
    return tuple(image_spec.statistics.mean.round().tolist())


LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and TensorFlow


def needs_colour(name: str, image_spec: ImageSpec) -> None:
    """Raises SpecError for grey images."""
    if image_spec.image_shape[-1] != 3:
        raise SpecError(f"{name} needs colour images: take it out of the spec, or load in colour")

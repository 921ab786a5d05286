"""What an erased box is painted with."""

from kerastricks.augment.op import Facts
from kerastricks.errors import SpecError


def check_fill(name: str, fill: str, known: tuple[str, ...]) -> None:
    """Raises SpecError for what is none of `known`."""
    if fill not in known:
        raise SpecError(f"{name}: fill must be one of {list(known)}. Received: fill={fill!r}")


def fixed_colour(name: str, fill: str, facts: Facts) -> tuple[float, ...]:
    """The one colour of "black" or "mean", in whole numbers: an erased image keeps its dtype."""
    if fill == "black":
        return (0.0,) * facts.image_shape[-1]
    if facts.statistics is None:
        raise SpecError(f"{name}: fill='mean' needs the mean of the training images: give their statistics")
    return tuple(facts.statistics.mean.round().tolist())

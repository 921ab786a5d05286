"""Flips: horizontal, vertical, and alternating, which shows both sides of every image in any two epochs."""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerastricks.augment.arguments import check_fraction
from kerastricks.augment.distributions import chosen
from kerastricks.augment.op import Draws, IndexMap, Parameters, op_name
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Mirror(IndexMap):
    """Base of flips: says which images are mirrored.

    Args:
        rate: probability per image, in [0, 1].
    """

    rate: float = 0.5

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"flipped": 0.0}

    def __post_init__(self) -> None:
        check_fraction(op_name(self), rate=self.rate)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"flipped": xp.cast(chosen(draws.uniforms[:, 0], self.rate), "float32")}


def mirrored(places: Any, size: int, parameters: Parameters, xp: Any) -> Any:
    """Rows or columns counted from the other side where an image is flipped."""
    return xp.where(parameters["flipped"] > 0, size - 1 - places, places)


@dataclass(frozen=True)
class Flip(Mirror):
    """Mirrors each image left to right with probability `rate`.

    It doubles the data where left and right mean the same, and hurts where they do not (digits, text).

    Args:
        rate: probability per image, in [0, 1].
    """

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        return mirrored(x, width, parameters, xp)


@dataclass(frozen=True)
class VerticalFlip(Mirror):
    """Mirrors each image top to bottom with probability `rate`.

    For images without an up and a down, as from above or through a microscope; it hurts photographs, in which the sky
    is above.

    Args:
        rate: probability per image, in [0, 1].
    """

    def rows(self, y: Any, parameters: Parameters, height: int, xp: Any) -> Any:
        return mirrored(y, height, parameters, xp)


# Below the root of 2^31: a product of two remainders fits into 32 bits. Third powers are a permutation of its
# remainders, since 3 does not divide 46336.
PRIME = 46337

HALF_BITS = 15


@dataclass(frozen=True)
class AlternatingFlip(IndexMap):
    """Mirrors half of the images left to right in the first epoch, the other half in the next, and so on in turn.

    With `flip` an image is seen the same way in half of all pairs of epochs; here in none, which learns faster in short
    trainings. Not for images whose left and right mean something (digits, text). Which half begins is decided by a hash
    of the image's place in the data set.

    Args:
        seed: of the hash, 0 or more.

    Reference:
        Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv 2404.00498, section 3.6. Deviation: the hash is
        another one, of 32-bit integers, so that every backend finds the same.
    """

    seed: int = 0

    needs_place = True

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise SpecError(f"alternating_flip: seed must be an integer, 0 or more. Received: seed={self.seed!r}")

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        index = xp.cast(draws.index, "int32")
        low, high = index % 2**HALF_BITS, index // 2**HALF_BITS
        first, second, third = _keys(self.seed)
        mixed = _cube((low + first) % PRIME)
        mixed = _cube((mixed + high + second) % PRIME)
        mixed = _cube((mixed + third) % PRIME)
        turn = (mixed + xp.cast(draws.epoch, "int32") % 2) % 2
        return {"flipped": xp.cast(turn, "float32")}

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        return mirrored(x, width, parameters, xp)


@functools.lru_cache(maxsize=32)
def _keys(seed: int) -> list[int]:
    return (np.random.SeedSequence(seed).generate_state(3) % PRIME).tolist()


def _cube(x: Any) -> Any:
    return x * (x * x % PRIME) % PRIME

"""Random shift by whole pixels: pad, then crop back."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.distributions import integer
from kerastricks.augment.op import Draws, Facts, IndexMap, Parameters
from kerastricks.errors import SpecError

_OUTSIDE = {"zero": "black", "reflect": "reflect"}


@dataclass(frozen=True)
class PadCrop(IndexMap):
    """Pads each image on all sides and cuts the original size at a place drawn per image.

    Args:
        pixels: of padding on each side; 0 or more, and below the image's side.
        mode: "zero" (black) or "reflect" (mirrored without the edge).

    Reference:
        Lee et al.: Deeply-Supervised Nets, AISTATS 2015; He et al., CVPR 2016, section 4.2.
    """

    pixels: int = 4
    mode: str = "zero"

    uniforms = 2
    neutral: ClassVar[dict[str, float]] = {"down": 0.0, "right": 0.0}

    def __post_init__(self) -> None:
        if isinstance(self.pixels, bool) or not isinstance(self.pixels, int) or self.pixels < 0:
            raise SpecError(f"pad_crop: pixels must be an integer, 0 or more. Received: pixels={self.pixels!r}")
        if self.mode not in _OUTSIDE:
            raise SpecError(f"pad_crop: mode must be one of {sorted(_OUTSIDE)}. Received: mode={self.mode!r}")

    @property
    def outside(self) -> str:  # type: ignore[override]
        return _OUTSIDE[self.mode]

    @property
    def leaves(self) -> bool:
        return self.pixels > 0

    def bind(self, facts: Facts) -> "PadCrop":
        side = min(facts.image_shape[:2])
        if self.pixels >= side:
            raise SpecError(f"pad_crop: pixels must be below the image's side, {side}. Received: pixels={self.pixels}")
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        down, right = (integer(draws.uniforms[:, i], -self.pixels, self.pixels, xp) for i in range(2))
        return {"down": down, "right": right}

    def rows(self, y: Any, parameters: Parameters, height: int, xp: Any) -> Any:
        return y + xp.cast(parameters["down"], y.dtype)

    def columns(self, x: Any, parameters: Parameters, width: int, xp: Any) -> Any:
        return x + xp.cast(parameters["right"], x.dtype)

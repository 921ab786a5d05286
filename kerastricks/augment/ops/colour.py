"""Fancy PCA with the training set's own colours."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kerastricks.augment.distributions import normal
from kerastricks.augment.luma import needs_colour
from kerastricks.augment.op import ColourMap, Draws, Facts, Parameters
from kerastricks.augment.principal_colours import SCALES, principal_colours
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class FancyPCA(ColourMap):
    """Adds one colour to all pixels of an image: a draw along each principal component of the training colours.

    It helps where the label does not depend on the colour and intensity of the light, and hurts where it does
    (ripeness, stains). Eigenvalues and eigenvectors are the training split's; `kerastricks.layers.FancyPCA` is the same
    as a layer.

    Args:
        stddev: of the draw per component, 0 or more, no unit.
        scale: "variance" (the eigenvalue as the paper writes it) or "stddev" (its square root, which moves colours as
            far as the data varies).

    Reference:
        Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
        NeurIPS 2012, section 4.1. Deviations: the result is clipped, which the paper does not say; a draw is at most
        5.3 stddev.
    """

    stddev: float = 0.1
    scale: str = "variance"
    components: tuple[tuple[float, ...], ...] = field(default=(), init=False)

    uniforms = 3
    neutral: ClassVar[dict[str, float]] = {"shift": 0.0}

    def __post_init__(self) -> None:
        if not 0 <= self.stddev < math.inf:
            raise SpecError(f"fancy_pca: stddev must be 0 or more, and finite. Received: stddev={self.stddev}")
        if self.scale not in SCALES:
            raise SpecError(f'fancy_pca: scale must be "variance" or "stddev". Received: scale={self.scale!r}')

    def bind(self, facts: Facts) -> "FancyPCA":
        needs_colour("fancy_pca", facts)
        if facts.statistics is None:
            raise SpecError("fancy_pca needs the colours of the training images: give their statistics")
        components = principal_colours(*facts.statistics.eigen(), self.scale, 255.0)
        return self.knowing(components=tuple(map(tuple, components.tolist())))

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        alphas = normal(draws.uniforms, self.stddev, xp)
        return {"shift": xp.matmul(alphas, xp.convert_to_tensor(self.components, "float32"))}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        return xp.ones((1, 3)), parameters["shift"]

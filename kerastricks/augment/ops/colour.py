"""Linear changes of colour: brightness, contrast, saturation, greyscale, negative, fancy PCA, normalization."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kerastricks.augment.arguments import LUMA, check_fraction, needs_colour
from kerastricks.augment.colours import SCALES, principal_colours
from kerastricks.augment.distributions import between, chosen, normal
from kerastricks.augment.op import ColourMap, Draws, ImageSpec, Parameters
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Brightness(ColourMap):
    """Multiplies an image by a factor drawn from [1 - strength, 1 + strength].

    The network becomes indifferent to exposure. It hurts where brightness tells the classes apart, and large factors
    cut off what is bright already.

    Args:
        strength: largest change of the factor, in [0, 1]; at 1 an image may turn black.

    Reference:
        Howard: Some Improvements on Deep Convolutional Neural Network Based Image Classification, arXiv 1312.5402;
        the form is Pillow's ImageEnhance.Brightness, which torchvision's ColorJitter shares. Deviation: the result is
        not rounded, and clipped once, after the last of neighbouring colour ops.
    """

    strength: float = 0.2

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"factor": 1.0}

    def __post_init__(self) -> None:
        check_fraction("brightness", strength=self.strength)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"factor": between(draws.uniforms[:, 0], 1 - self.strength, 1 + self.strength)}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        return parameters["factor"][:, None], xp.zeros((1, 1))


@dataclass(frozen=True)
class Contrast(ColourMap):
    """Blends an image with its mean grey: factor 0 is one grey, 1 the image, 2 twice the distance from that grey.

    The network becomes indifferent to haze and flat light. It hurts where faint differences are what is looked for,
    and large factors cut off the darkest and brightest.

    Args:
        strength: the factor is drawn from [1 - strength, 1 + strength]; in [0, 1].

    Reference:
        Howard: Some Improvements on Deep Convolutional Neural Network Based Image Classification, arXiv 1312.5402;
        the form is Pillow's ImageEnhance.Contrast, which torchvision's ColorJitter and RandAugment share. Deviations:
        the mean is not rounded to an integer, nor is the result; after other colour ops it is the mean of their
        result before it is clipped.
    """

    strength: float = 0.2

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"factor": 1.0}
    needs_mean = True

    def __post_init__(self) -> None:
        check_fraction("contrast", strength=self.strength)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"factor": between(draws.uniforms[:, 0], 1 - self.strength, 1 + self.strength)}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        factor = parameters["factor"][:, None]
        weights = LUMA if mean.shape[-1] == 3 else (1.0,)
        grey = sum(weight * mean[:, channel : channel + 1] for channel, weight in enumerate(weights))
        return factor, (1 - factor) * grey


@dataclass(frozen=True)
class Saturation(ColourMap):
    """Blends an image with its grey self: factor 0 is grey, 1 the image, 2 twice as colourful.

    The network becomes indifferent to how vivid colours are: light, weather, camera. It hurts where that tells the
    classes apart (ripeness, stains).

    Args:
        strength: the factor is drawn from [1 - strength, 1 + strength]; in [0, 1].

    Reference:
        Pillow's ImageEnhance.Color, which torchvision's ColorJitter(saturation) and RandAugment's "Color" share.
        Deviation: neither grey nor the result is rounded, and the result is clipped once, after the last of
        neighbouring colour ops.
    """

    strength: float = 0.5

    uniforms = 1
    mixes_channels = True
    neutral: ClassVar[dict[str, float]] = {"factor": 1.0}

    def __post_init__(self) -> None:
        check_fraction("saturation", strength=self.strength)

    def bind(self, image_spec: ImageSpec) -> "Saturation":
        needs_colour("saturation", image_spec)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"factor": between(draws.uniforms[:, 0], 1 - self.strength, 1 + self.strength)}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        factor = parameters["factor"][:, None, None]
        grey = xp.convert_to_tensor([[LUMA] * 3], "float32")
        same = xp.convert_to_tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]], "float32")
        return factor * same + (1 - factor) * grey, xp.zeros((1, 3))


@dataclass(frozen=True)
class Grayscale(ColourMap):
    """Makes each image grey with probability `rate`: all channels become its luma.

    The network learns shapes beside colours. It hurts where colour tells the classes apart.

    Args:
        rate: probability per image, in [0, 1].

    Reference:
        Chen et al.: A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, appendix A, with
        rate 0.2; torchvision's RandomGrayscale has 0.1. Luma is that of ITU-R BT.601, as in Pillow. Deviation: it is
        not rounded.
    """

    rate: float = 0.1

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"applied": 0.0}

    def __post_init__(self) -> None:
        check_fraction("grayscale", rate=self.rate)

    def bind(self, image_spec: ImageSpec) -> "Grayscale":
        needs_colour("grayscale", image_spec)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"applied": xp.cast(chosen(draws.uniforms[:, 0], self.rate), "float32")}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        applied = parameters["applied"][:, None, None]
        grey = xp.convert_to_tensor([[LUMA] * 3], "float32")
        same = xp.convert_to_tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]], "float32")
        return (1 - applied) * same + applied * grey, xp.zeros((1, 3))


@dataclass(frozen=True)
class Invert(ColourMap):
    """Makes each image its negative, 255 - x, with probability `rate`.

    It helps where dark on bright and bright on dark mean the same (drawings, characters); photographs never look like
    that, and on them it mostly hurts.

    Args:
        rate: probability per image, in [0, 1].

    Reference:
        Cubuk et al.: AutoAugment, CVPR 2019, table of operations; Pillow's ImageOps.invert.
    """

    rate: float = 0.1

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"applied": 0.0}

    def __post_init__(self) -> None:
        check_fraction("invert", rate=self.rate)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"applied": xp.cast(chosen(draws.uniforms[:, 0], self.rate), "float32")}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        applied = parameters["applied"][:, None]
        return 1 - 2 * applied, 255.0 * applied


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

    def bind(self, image_spec: ImageSpec) -> "FancyPCA":
        needs_colour("fancy_pca", image_spec)
        if image_spec.statistics is None:
            raise SpecError("fancy_pca needs the colours of the training images: give their statistics")
        components = principal_colours(*image_spec.statistics.eigen(), self.scale, 255.0)
        return self.knowing(components=tuple(map(tuple, components.tolist())))

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"shift": self.colours(normal(draws.uniforms, self.stddev, xp), xp)}

    def colours(self, alphas: Any, xp: Any) -> Any:
        """Colour that draws (batch, 3) along the components add to each pixel: (batch, 3)."""
        return xp.matmul(alphas, xp.convert_to_tensor(self.components, "float32"))

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        return xp.ones((1, 3)), parameters["shift"]


@dataclass(frozen=True)
class Normalize(ColourMap):
    """Subtracts the training pixels' mean and divides by their standard deviation, per channel.

    All channels weigh alike, and a network without batch normalisation starts with activations of the size that its
    initialization expects. For models without a normalisation of their own, and images that are not saved:
    kerastricks's models begin with theirs and want values 0 to 255. Nothing that expects such values may come
    after it.

    Reference:
        LeCun, Bottou, Orr, Mueller: Efficient BackProp, 1998, section 4.3.
    """

    mean: tuple[float, ...] = field(default=(), init=False)
    std: tuple[float, ...] = field(default=(), init=False)

    ends_raw = True

    def bind(self, image_spec: ImageSpec) -> "Normalize":
        if image_spec.statistics is None:
            raise SpecError("normalize needs the mean of the training images: give their statistics")
        mean, std = image_spec.statistics.mean, image_spec.statistics.std
        return self.knowing(mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        gain = xp.convert_to_tensor([[1 / value for value in self.std]], "float32")
        shift = xp.convert_to_tensor([[-m / s for m, s in zip(self.mean, self.std, strict=True)]], "float32")
        return gain, shift

"""Hue: in HSV, together with power jitter of saturation and value, as one matrix in YIQ, and in colour jitter."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerastricks.augment.arguments import LUMA, needs_colour
from kerastricks.augment.colours import NEUTRAL, Changes, Ranges, from_hexagon, jitter, to_hexagon
from kerastricks.augment.distributions import between
from kerastricks.augment.op import ColourMap, Draws, ImageSpec, Op, Parameters, PixelOp, Policy
from kerastricks.augment.ops.colour import Brightness, Contrast, Saturation
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Hue(PixelOp):
    """Adds one angle to all hues of an image, red towards yellow or towards magenta; saturation and value stay.

    The network becomes indifferent to the tint of light. It hurts where colour tells the classes apart, and soon: the
    strengths of common recipes are at most 0.1. `hue_yiq` is the cheaper relative that is fused with other colours.

    Args:
        turns: the angle is drawn from [-turns, turns], in turns of 360 degrees; in [0, 0.5].

    Reference:
        Smith: Color Gamut Transform Pairs, SIGGRAPH 1978 (HSV); the hue of torchvision's ColorJitter, of timm and of
        albumentations. Deviation: they round to whole numbers, which is left to whatever follows here.
    """

    turns: float = 0.05

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"turns": 0.0}

    def __post_init__(self) -> None:
        if not 0 <= self.turns <= 0.5:
            raise SpecError(f"hue: turns must be in [0, 0.5]. Received: turns={self.turns}")

    def bind(self, image_spec: ImageSpec) -> "Hue":
        needs_colour("hue", image_spec)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"turns": between(draws.uniforms[:, 0], -self.turns, self.turns)}

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        # Hue is a ratio of differences: values 0 to 255 need no scaling.
        red, green, blue = (images[..., channel] for channel in range(3))
        hue, chroma, value = to_hexagon(red, green, blue, xp)
        turns = parameters["turns"][:, None, None]
        turned = xp.stack(from_hexagon(hue + 6.0 * turns, chroma, value, xp), axis=-1)
        # There and back again is not exactly the same.
        return xp.where(turns[..., None] == 0, images, turned)


@dataclass(frozen=True)
class Hsv(PixelOp):
    """Changes each image's saturation and value to `clip(x^power * factor + shift, 0, 1)` and turns its hue.

    The seven numbers are drawn once per image: power, factor and shift of S and of V, each on its own, and the hue's
    shift, which is wrapped. It makes the network indifferent to exposure, contrast and tint; it hurts where colour
    tells the classes apart, and a grey image that gets saturation added gets a tint that it never had
    (`shift_range=(0, 0)` leaves grey grey). `kerastricks.layers.RandomHSV` is the same as a layer.

    Args:
        power_range: (low, high) of the powers, above 0.
        factor_range: (low, high) of the factors, 0 or more.
        shift_range: (low, high) of what is added to S and V, in [-1, 1].
        hue_range: (low, high) of what is added to H, in turns, in [-1, 1].
        power_draw: "log_uniform" darkens as often as it brightens; "uniform" has mean 2.1 over (0.25, 4) and darkens
            most images.

    Reference:
        Dosovitskiy, Springenberg, Riedmiller, Brox: Discriminative Unsupervised Feature Learning with Convolutional
        Neural Networks, NeurIPS 2014 (arXiv 1406.6909), section 2.1, "contrast 2" and "colour". Deviations: the powers
        are log-uniform by default, where the paper gives only their bounds; S and V have draws of their own, where it
        leaves that open; the result is clipped, which it does not say.
    """

    power_range: tuple[float, float] = (0.25, 4.0)
    factor_range: tuple[float, float] = (0.7, 1.4)
    shift_range: tuple[float, float] = (-0.1, 0.1)
    hue_range: tuple[float, float] = (-0.1, 0.1)
    power_draw: str = "log_uniform"

    uniforms = 7
    neutral: ClassVar[dict[str, float]] = NEUTRAL._asdict()

    def __post_init__(self) -> None:
        try:
            self._ranges.checked()
        except ValueError as error:
            raise SpecError(f"hsv: {error}") from None

    @property
    def _ranges(self) -> Ranges:
        return Ranges(self.power_range, self.factor_range, self.shift_range, self.hue_range, self.power_draw)

    def bind(self, image_spec: ImageSpec) -> "Hsv":
        needs_colour("hsv", image_spec)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return self._ranges.draw(draws.uniforms, xp)._asdict()

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        changed = 255.0 * self.changed(images / 255.0, Changes(**parameters), xp)
        # There and back again is not exactly the same.
        same = parameters["saturation_power"] == NEUTRAL.saturation_power
        for name, neutral in self.neutral.items():
            same = xp.logical_and(same, parameters[name] == neutral)
        return xp.where(same[:, None, None, None], images, changed)

    def changed(self, pixels: Any, changes: Changes, xp: Any, order: tuple[int, ...] = (0, 1, 2)) -> Any:
        """The changed pixels; in [0, 1], and clipped to that first. `order`: where red, green and blue are."""
        red, green, blue = (xp.clip(pixels[..., channel], 0.0, 1.0) for channel in order)
        colours = jitter(red, green, blue, changes, xp)
        return xp.stack([colours[channel] for channel in order], axis=-1)  # the two orders are their own inverses


# Rows Y, I, Q of the NTSC's colours: Y is the luma, (I, Q) the tint, in which the hue is an angle.
_YIQ = np.array([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
_TO_RGB = np.linalg.inv(_YIQ)
# A turn by an angle is  1 + (cos - 1) tint + sin quarter  in RGB; red goes to yellow.
_TINT = _TO_RGB @ np.diag([0.0, 1.0, 1.0]) @ _YIQ
_QUARTER = _TO_RGB @ np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]) @ _YIQ


@dataclass(frozen=True)
class HueYiq(ColourMap):
    """Turns the tint of an image by one angle in the colour plane of YIQ; greys and luma stay.

    The cheap hue: one matrix per image, which is fused with brightness, contrast and saturation. It changes colours
    by more than `hue` does at the same number of turns, as luma is kept where `hue` keeps the largest channel. Use it
    where the pipeline is what training waits for. It hurts where colour tells the classes apart.

    Args:
        turns: the angle is drawn from [-turns, turns], in turns of 360 degrees; in [0, 0.5].

    Reference:
        tensorflow-addons' adjust_hsv_in_yiq and the Hue operator of NVIDIA DALI turn the plane (I, Q) likewise.
        torchvision, timm and albumentations mean HSV, see `hue`. Colours near the edge of the cube may be clipped.
    """

    turns: float = 0.05

    uniforms = 1
    neutral: ClassVar[dict[str, float]] = {"turns": 0.0}

    def __post_init__(self) -> None:
        if not 0 <= self.turns <= 0.5:
            raise SpecError(f"hue_yiq: turns must be in [0, 0.5]. Received: turns={self.turns}")

    def bind(self, image_spec: ImageSpec) -> "HueYiq":
        needs_colour("hue_yiq", image_spec)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return {"turns": between(draws.uniforms[:, 0], -self.turns, self.turns)}

    def matrix(self, parameters: Parameters, mean: Any, xp: Any) -> tuple[Any, Any]:
        angle = (2 * math.pi * parameters["turns"])[:, None, None]
        same, tint, quarter = (xp.convert_to_tensor([m.tolist()], "float32") for m in (np.eye(3), _TINT, _QUARTER))
        return same + (xp.cos(angle) - 1) * tint + xp.sin(angle) * quarter, xp.zeros((1, 3))


@dataclass(frozen=True)
class ColorJitter(Policy):
    """Changes brightness, contrast, saturation and hue of each image, in this order: `brightness(0.4) | ...`.

    The planner makes one matrix per image of the first three; the hue follows in a pass of its own. What each is good
    for, and where it hurts, is told by `brightness`, `contrast`, `saturation` and `hue`. For one matrix of all four,
    write `color_jitter(hue=0) | hue_yiq(0.1)`.

    Args:
        brightness: strength of `brightness`, in [0, 1]; 0 leaves it out, here and below.
        contrast: strength of `contrast`, in [0, 1].
        saturation: strength of `saturation`, in [0, 1].
        hue: turns of `hue`, in [0, 0.5].

    Reference:
        torchvision's ColorJitter, which timm and SimCLR use. Deviations: torchvision draws the order of the four, too,
        and rounds and clips after each of them.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1

    uniforms = 4

    def __post_init__(self) -> None:
        for name, most in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0.5)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise SpecError(f"color_jitter: {name} must be in [0, {most}]. Received: {name}={value}")

    def bind(self, image_spec: ImageSpec) -> "ColorJitter":
        if image_spec.image_shape[-1] != 3 and (self.saturation or self.hue):
            raise SpecError(
                "color_jitter needs colour images for saturation and hue: "
                f"write color_jitter({self.brightness}, {self.contrast}, 0, 0), or load in colour"
            )
        return self

    @property
    def _active(self) -> list[tuple[int, Op]]:
        """Member ops with a strength, each with its column of the uniforms."""
        ops = (Brightness(self.brightness), Contrast(self.contrast), Saturation(self.saturation), Hue(self.hue))
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        return [(column, op) for column, op in enumerate(ops) if strengths[column]]

    @property
    def members(self) -> tuple[Op, ...]:
        return tuple(op for _, op in self._active)

    def member_parameters(self, number: int, draws: Draws, xp: Any) -> Parameters:
        column, op = self._active[number]
        return op.parameters(draws._replace(uniforms=draws.uniforms[:, column : column + 1]), xp)

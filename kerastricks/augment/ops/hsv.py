"""HSV power jitter."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kerastricks.augment.colours import NEUTRAL, Changes, Ranges, jitter
from kerastricks.augment.luma import needs_colour
from kerastricks.augment.op import Draws, Facts, Parameters, PixelOp
from kerastricks.errors import SpecError


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
        are log-uniform by default, where the paper gives their bounds alone; S and V have draws of their own, where it
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

    def bind(self, facts: Facts) -> "Hsv":
        needs_colour("hsv", facts)
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        return self._ranges.draw(draws.uniforms, xp)._asdict()

    def apply(self, images: Any, parameters: Parameters, xp: Any) -> Any:
        changes = Changes(**parameters)
        red, green, blue = (xp.clip(images[..., channel] / 255.0, 0.0, 1.0) for channel in range(3))
        changed = 255.0 * xp.stack(jitter(red, green, blue, changes, xp), axis=-1)
        # There and back again is not exactly the same.
        same = changes.saturation_power == NEUTRAL.saturation_power
        for number, neutral in zip(changes[1:], NEUTRAL[1:], strict=True):
            same = xp.logical_and(same, number == neutral)
        return xp.where(same[:, None, None, None], images, changed)

"""Mixed images and labels: MixUp blends pairs, CutMix puts a box of one image into another."""

from dataclasses import dataclass, field
from typing import Any

from kerastricks.augment.arguments import check_fraction
from kerastricks.augment.distributions import check_alpha, chosen, integer, symmetric_beta
from kerastricks.augment.op import Draws, ImageSpec, MixOp, Parameters
from kerastricks.errors import SpecError


@dataclass(frozen=True)
class Mixup(MixOp):
    """Blends each image with the one before it in the batch, and their labels alike, by a share drawn per image.

    Between two examples the network learns to answer in between: it is calibrated better and resists wrong labels. It
    needs longer training, and hurts small networks that do not even fit the plain images. Labels become probabilities:
    the loss must take them (categorical cross-entropy).

    Args:
        alpha: the share is drawn from Beta(alpha, alpha), in [0.01, 100]; the larger, the more equal the two.
        rate: probability per image, in [0, 1].

    Reference:
        Zhang et al.: mixup: Beyond Empirical Risk Minimization, arXiv 1710.09412, section 2; alpha 0.2 is the paper's
        for ImageNet, 1.0 for CIFAR. Deviation: one share per image, where the authors' code draws one per batch; the
        partner is the neighbour in the (shuffled) batch.
    """

    alpha: float = 0.2
    rate: float = 1.0

    uniforms = 2

    def __post_init__(self) -> None:
        check_alpha("mixup", self.alpha)
        check_fraction("mixup", rate=self.rate)

    def bind(self, image_spec: ImageSpec) -> "Mixup":
        if image_spec.class_count is None:
            raise SpecError("mixup needs the number of classes, since it mixes labels: give it, or take mixup out")
        return self

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        share = 1.0 - symmetric_beta(draws.uniforms[:, 1], self.alpha, xp)
        return {"partner": xp.where(chosen(draws.uniforms[:, 0], self.rate), share, 0.0)}

    def mix(self, images: Any, labels: Any, parameters: Parameters, xp: Any) -> tuple[Any, Any]:
        share = parameters["partner"]
        mixed = images + share[:, None, None, None] * (xp.roll(images, 1, axis=0) - images)
        if labels is not None:
            labels = labels + share[:, None] * (xp.roll(labels, 1, axis=0) - labels)
        return mixed, labels


@dataclass(frozen=True)
class Cutmix(MixOp):
    """Puts a box of the image before it in the batch into each image, and mixes their labels by the area it takes.

    Like erasing without wasting the pixels: the network learns from parts of objects, and where they are. Labels become
    probabilities: the loss must take them (categorical cross-entropy). It hurts where the box may hold nothing of what
    the label names.

    Args:
        alpha: the share of the image that is kept is drawn from Beta(alpha, alpha), in [0.01, 100].
        rate: probability per image, in [0, 1].

    Reference:
        Yun et al.: CutMix, arXiv 1905.04899, equations 1 and 2. As in the authors' code, the box's centre is any pixel,
        what sticks out is cut off, and the labels get the area that is truly kept. Deviations: one box per image, where
        that code draws one per batch; the partner is the neighbour in the (shuffled) batch; sides are rounded, and
        odd ones keep their length.
    """

    alpha: float = 1.0
    rate: float = 1.0
    height: int = field(default=0, init=False)
    width: int = field(default=0, init=False)

    uniforms = 4

    def __post_init__(self) -> None:
        check_alpha("cutmix", self.alpha)
        check_fraction("cutmix", rate=self.rate)

    def bind(self, image_spec: ImageSpec) -> "Cutmix":
        if image_spec.class_count is None:
            raise SpecError("cutmix needs the number of classes, since it mixes labels: give it, or take cutmix out")
        height, width, _ = image_spec.image_shape
        return self.knowing(height=height, width=width)

    def parameters(self, draws: Draws, xp: Any) -> Parameters:
        use, share, *centre = (draws.uniforms[:, i] for i in range(4))
        cut = xp.sqrt(xp.where(chosen(use, self.rate), 1.0 - symmetric_beta(share, self.alpha, xp), 0.0))
        parameters = {}
        for name, middle, side in zip(("row", "column"), centre, (self.height, self.width), strict=True):
            length = xp.round(cut * side)
            first = xp.cast(integer(middle, 0, side - 1, xp), "float32") - xp.floor(length / 2)
            parameters[f"first_{name}"] = xp.maximum(first, 0.0)
            parameters[f"end_{name}"] = xp.minimum(first + length, float(side))
        return parameters

    def mix(self, images: Any, labels: Any, parameters: Parameters, xp: Any) -> tuple[Any, Any]:
        top, bottom, left, right = (
            parameters[name][:, None] for name in ("first_row", "end_row", "first_column", "end_column")
        )
        height, width, channels = images.shape[1:]
        y = xp.arange(height, dtype="float32")[None]
        # The columns of all channels side by side: three at a time would not fill a vector.
        x = xp.cast(xp.arange(width * channels, dtype="int32") // channels, "float32")[None]
        rows = xp.logical_and(y >= top, y < bottom)[:, :, None]
        columns = xp.logical_and(x >= left, x < right)[:, None, :]
        lines = xp.reshape(images, (-1, height, width * channels))
        mixed = xp.where(xp.logical_and(rows, columns), xp.roll(lines, 1, axis=0), lines)
        if labels is not None:
            taken = (bottom - top) * (right - left) / (height * width)
            labels = labels + taken * (xp.roll(labels, 1, axis=0) - labels)
        return xp.reshape(mixed, (-1, height, width, channels)), labels

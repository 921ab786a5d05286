"""MixUp: images and labels are blended in pairs."""

from dataclasses import dataclass
from typing import Any

from kerastricks.augment.beta import check_alpha, symmetric_beta
from kerastricks.augment.distributions import chosen
from kerastricks.augment.fraction import check_fraction
from kerastricks.augment.op import Draws, Facts, MixOp, Parameters
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

    def bind(self, facts: Facts) -> "Mixup":
        if facts.class_count is None:
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

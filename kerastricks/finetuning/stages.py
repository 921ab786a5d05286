"""Stages of a fine-tuning: the levels of a backbone that learn, and their learning rates."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kerastricks.finetuning.levels import Level

# Howard, Ruder: ULMFiT, ACL 2018, section 3.1: each layer learns 2.6 times slower than the one after it.
DECAY = 2.6
# With it the first of five levels would get a hundredth of the rate and stay where it is: docs/finetuning.md.
DECAY_OF_ALL = 1.3
RATE_OF_ALL = 4.0


@dataclass(frozen=True)
class Stage:
    """One training with some of the levels frozen.

    Args:
        name: for the log and the report.
        unfrozen: how many of the last levels learn, besides the head.
        lr_multipliers: factors of the learning rate by the names of layers; 1 for others.
        rate: factor of the learning rate of the configuration, for head and levels.
        freezes_norms: whether batch normalisation stays in inference mode in the levels that learn too: where images
            are like those it was trained on, its statistics are right, and those of a few small batches are worse.
    """

    name: str
    unfrozen: int
    lr_multipliers: dict[str, float] = field(default_factory=dict)
    rate: float = 1.0
    freezes_norms: bool = False


def make_stage(strategy: str, levels: Sequence[Level]) -> Stage | None:
    """The stage after the head; None for a strategy that trains only a head.

    Args:
        strategy: "last": the last two levels at falling rates. "all": every level, at four times the rate of the
            configuration, which falls less. "scratch": everything at one rate. "linear" and "earlier" have none.
        levels: of the backbone.
    """
    if strategy in ("linear", "earlier"):
        return None
    if strategy == "scratch":
        return Stage("everything, from random weights", len(levels))
    if strategy == "all":
        return Stage("all levels", len(levels), falling_rates(levels, len(levels), DECAY_OF_ALL), RATE_OF_ALL)
    depth = min(2, len(levels))
    name = "all levels" if depth == len(levels) else f"the last {depth} levels"
    return Stage(name, depth, falling_rates(levels, depth), freezes_norms=True)


def classifier_stage() -> Stage:
    """The stage that trains only the head, on a frozen backbone."""
    return Stage("the classifier", 0)


def falling_rates(levels: Sequence[Level], unfrozen: int, decay: float = DECAY) -> dict[str, float]:
    """Factors of the layers that learn: 1 / decay for the last level, its square for the one before; the head has 1."""
    return {
        layer: decay ** -(distance + 1)
        for distance, level in enumerate(reversed(levels[len(levels) - unfrozen :]))
        for layer in level.layers
    }

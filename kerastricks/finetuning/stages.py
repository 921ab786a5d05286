"""What is trained when, and how fast: the stages of a plan."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kerastricks.finetuning.levels import Level

# Howard, Ruder: ULMFiT, ACL 2018, section 3.1: each layer learns 2.6 times slower than the one behind it.
DECAY = 2.6


@dataclass(frozen=True)
class Stage:
    """One training with some of the levels frozen.

    Args:
        name: for the log and the report.
        epochs: passes over the training images.
        unfrozen: how many of the last levels learn, besides the head.
        rates: by the names of layers, factors of the learning rate; layers that are not named have 1.
        freezes_norms: whether batch normalisation stays in inference mode in the levels that learn too: where images
            are like those it was trained on, its statistics are right, and those of a few small batches are worse.
    """

    name: str
    epochs: int
    unfrozen: int
    rates: dict[str, float] = field(default_factory=dict)
    freezes_norms: bool = False


def make_stages(plan: str, levels: Sequence[Level], epochs: int, decay: float = DECAY) -> list[Stage]:
    """The stages behind the head's.

    Args:
        plan: "last": the last level, then the last two. "all": the last, the last half, all of them. "scratch": one
            stage, everything at one rate. "linear" and "earlier" have none.
        levels: of the backbone.
        epochs: of all stages together.
        decay: what the rate is divided by from level to level, downwards.

    Returns:
        Stages of one epoch or more each; fewer stages where there are fewer levels or epochs.
    """
    if plan in ("linear", "earlier"):
        return []
    if plan == "scratch":
        return [Stage("everything, from random weights", epochs, len(levels))]
    depths = [1, 2] if plan == "last" else [1, -(-len(levels) // 2), len(levels)]
    depths = sorted({min(depth, len(levels)) for depth in depths})[-epochs:]
    shares = [epochs // len(depths) + (place >= len(depths) - epochs % len(depths)) for place in range(len(depths))]
    return [
        Stage(
            _name(depth, len(levels)), share, depth, falling_rates(levels, depth, decay), freezes_norms=plan == "last"
        )
        for depth, share in zip(depths, shares, strict=True)
    ]


def falling_rates(levels: Sequence[Level], unfrozen: int, decay: float = DECAY) -> dict[str, float]:
    """Factors of the layers that learn: 1 / decay for the last level, its square for the one before; the head has 1."""
    return {
        layer: decay ** -(distance + 1)
        for distance, level in enumerate(reversed(levels[len(levels) - unfrozen :]))
        for layer in level.layers
    }


def _name(depth: int, levels: int) -> str:
    if depth == levels:
        return "all levels"
    return "the last level" if depth == 1 else f"the last {depth} levels"

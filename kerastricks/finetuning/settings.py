"""Settings of a fine-tuning, its strategies, and the thresholds of the table that orders them.

Plain data: a name is checked before Keras is imported.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerastricks.bounds import CONFIG
from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.lazy import renamed_arguments

STRATEGIES = ("linear", "last", "all", "earlier", "small", "scratch", "two_stage", "decoupled")
# Against imbalanced classes: two trainings of the same network, on other images or of other layers.
IN_TWO_PARTS = ("two_stage", "decoupled")
# Images of the middle class from which there is much data.
MUCH = 100
# From this share of a pixel probe's errors, and of its log-loss, that the top features take away, images are similar.
# ImageNet features, 60 draws: photographs of clothes and CIFAR-10 0.25 or more, fashion-mnist and digits at most 0.16.
SIMILAR = 0.2
# Minutes of measuring and training together, where the strategy is chosen.
MINUTES = 5.0
# What the small network sees, as `kerastricks train --image-size 32` would.
SMALL_SIDE_PX = 32

WHAT = {
    "linear": "a linear classifier on the top features",
    "last": "the last two levels at a small rate, the early ones stay as they are",
    "all": "the whole network at a rate that moves it",
    "earlier": "a linear classifier on an earlier level's features",
    "small": f"plain_cnn from random weights at {SMALL_SIDE_PX} pixels or fewer, as `kerastricks train` trains it",
    "scratch": "the same network from random weights",
    "two_stage": "the backbone on the well-filled classes first, then on the rare ones",
    "decoupled": "the backbone on all images as they are, then the classifier by itself on as many of each class",
}


# Fields of `kerastricks.training.Config` whose defaults suit weights that know something already.
TRAINING_DEFAULTS: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 5e-4,
    "schedule": "cosine(warmup=0.1)",
    "weight_decay": 1e-2,
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "batch_size": 32,
    "early_stopping_epochs": 3,
}
PHOTOGRAPHS_AUGMENT = "random_resized_crop(0.35) | flip"
_IMAGES_SEEN = 20_000
_KEYS = {"strategy": "plan"}  # in JSON
_FIELDS = {key: name for name, key in _KEYS.items()}


@renamed_arguments(plan="strategy")
@dataclass(frozen=True)
class Settings:
    """Settings of a fine-tuning.

    Args:
        backbone: what `open_backbone` takes, as text.
        weights: of a backbone of the zoo: a name or path.
        strategy: "auto", or one of "linear", "last", "all", "earlier", "small", "scratch", "two_stage", "decoupled".
        head: units of dense layers before the last one.
        dropout: rate before each dense layer of the head.
        scratch: whether the same network is trained from random weights too, to compare with.
        minutes: of measuring and training together; loading, export and its check come on top. None: 5 where the
            strategy is "auto", and the epochs of the configuration for a strategy that is named.
        rare_below: of "two_stage": a class with fewer training images is rare; None to choose it by
            `kerastricks.finetuning.class_parts.split_classes`.
        rare_only: of "two_stage": whether the second part is the rare classes by themselves, as published, which
            forgets the others; else as many images of each of the others are among them.

    Raises:
        ConfigError: for a value outside its range, or one of "two_stage" with another strategy.
        UnknownNameError: for a strategy that does not exist.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "imagenet"
    strategy: str = "auto"
    head: tuple[int, ...] = ()
    dropout: float = 0.2
    scratch: bool = False
    minutes: float | None = None
    rare_below: int | None = None
    rare_only: bool = False

    def __post_init__(self) -> None:
        if self.strategy not in ("auto", *STRATEGIES):
            raise UnknownNameError("plan", self.strategy, ("auto", *STRATEGIES))
        if any(units < 1 for units in self.head):
            raise ConfigError(f"head must be units of layers, 1 or more each. Received: head={self.head}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1). Received: dropout={self.dropout}")
        if self.minutes is not None and not CONFIG["minutes"].holds(self.minutes):
            raise ConfigError(f"minutes must be {CONFIG['minutes'].rule}. Received: minutes={self.minutes}")
        if self.rare_below is not None and self.rare_below < 1:
            raise ConfigError(f"rare_below must be 1 or more. Received: rare_below={self.rare_below}")
        if self.strategy != "two_stage" and (self.rare_below is not None or self.rare_only):
            name = "rare_only" if self.rare_only else "rare_below"
            raise ConfigError(
                f"{name} is of plan two_stage: leave it out, or take that. Received: plan={self.strategy}"
            )

    @property
    def seconds(self) -> float | None:
        """The budget; None if epochs decide."""
        minutes = MINUTES if self.minutes is None and self.strategy == "auto" else self.minutes
        return None if minutes is None else 60.0 * minutes

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Settings":
        """The inverse of `as_dict`."""
        named: dict[str, Any] = {_FIELDS.get(key, key): value for key, value in fields.items()}
        return cls(**{**named, "head": tuple(named.get("head", ()))})

    def as_dict(self) -> dict[str, Any]:
        """Fields for JSON; the strategy has the option's name, `plan`."""
        return {_KEYS.get(name, name): value for name, value in dataclasses.asdict(self).items()}


def default_epochs(images: int) -> int:
    """Epochs over all stages for so many training images: 20,000 images in total, 6 to 40 epochs."""
    return min(max(round(_IMAGES_SEEN / images), 6), 40)

"""The optimizer and its schedule from a configuration."""

from collections.abc import Callable
from typing import Any

import keras

from kerastricks import spec
from kerastricks.errors import ConfigError
from kerastricks.regularizers.undecayed import undecayed
from kerastricks.schedules.warmup_linear import WarmupLinear
from kerastricks.training.config import Config

_CLASSES: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "lion": keras.optimizers.Lion,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}


def build_optimizer(config: Config, total_steps: int, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of `config` for `total_steps` steps, which leaves the right weights of `model` undecayed."""
    parsed = spec.parse(config.optimizer)
    optimizer = parsed.call(
        _CLASSES[parsed.name],
        learning_rate=build_schedule(config, total_steps),
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.clip_norm,
    )
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=undecayed(model))
    return optimizer


def build_schedule(config: Config, total_steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """ "linear", "cosine" or "constant", with `warmup` and `final` as fractions."""
    parsed = spec.parse(config.schedule)
    builders = {"linear": _linear, "cosine": _cosine, "constant": _constant}
    return parsed.call(builders[parsed.name], peak=config.learning_rate, total_steps=total_steps)


def _warmup_steps(warmup: float, total_steps: int) -> int:
    if not 0 <= warmup < 1:
        raise ConfigError(f"schedule: warmup is a fraction in [0, 1). Received: warmup={warmup}")
    return min(round(warmup * total_steps), total_steps - 1)


def _linear(peak: float, total_steps: int, warmup: float = 0.2, final: float = 0.0) -> WarmupLinear:
    return WarmupLinear(peak, total_steps, _warmup_steps(warmup, total_steps), final)


def _cosine(peak: float, total_steps: int, warmup: float = 0.05, final: float = 0.0) -> Any:
    steps = _warmup_steps(warmup, total_steps)
    if steps == 0:
        return keras.optimizers.schedules.CosineDecay(peak, total_steps, alpha=final)
    return keras.optimizers.schedules.CosineDecay(
        peak / 25, total_steps - steps, alpha=final, warmup_target=peak, warmup_steps=steps
    )


def _constant(peak: float, total_steps: int) -> float:
    return peak

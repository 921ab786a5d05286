"""The optimizer and its schedule from a configuration."""

from collections.abc import Callable, Mapping
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


def build_optimizer(
    config: Config, total_steps: int, model: keras.Model, rates: Mapping[str, float] | None = None
) -> keras.optimizers.Optimizer:
    """The optimizer of `config` for `total_steps` steps, which leaves the right weights of `model` undecayed.

    Args:
        config: of the training.
        total_steps: that its schedule is made for.
        model: that is trained.
        rates: by the names of layers, what the learning rate is multiplied by there; 1 for others. Layers of one factor
            share an optimizer, and a gradient's norm is limited by group.
    """
    if not rates:
        return _single(config, total_steps, model, 1.0)
    factors: dict[int, float] = {}
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if layer.name in rates:
            factors.update({id(variable): rates[layer.name] for variable in layer.trainable_variables})
    optimizers = {factor: _single(config, total_steps, model, factor) for factor in sorted({1.0, *factors.values()})}
    return keras.optimizers.MultiOptimizer(lambda variable: optimizers[factors.get(id(variable), 1.0)])


def _single(config: Config, total_steps: int, model: keras.Model, factor: float) -> keras.optimizers.Optimizer:
    parsed = spec.parse(config.optimizer)
    optimizer = parsed.call(
        _CLASSES[parsed.name],
        learning_rate=build_schedule(config, total_steps, factor),
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.clip_norm,
    )
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=undecayed(model))
    return optimizer


def build_schedule(
    config: Config, total_steps: int, factor: float = 1.0
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """ "linear", "cosine" or "constant", with `warmup` and `final` as fractions; all of it times `factor`."""
    parsed = spec.parse(config.schedule)
    builders = {"linear": _linear, "cosine": _cosine, "constant": _constant}
    return parsed.call(builders[parsed.name], peak=config.learning_rate * factor, total_steps=total_steps)


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

"""The optimizer and its schedule from a configuration."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
import numpy as np

from kerastricks.callbacks.plateau_decay import PlateauDecay
from kerastricks.keras_graph import all_layers
from kerastricks.regularizers.weight_decay import undecayed
from kerastricks.schedules.specs import read_schedule
from kerastricks.training.config import Config
from kerastricks.training.pace import Pace

_WARMUP_EPOCHS = 5

_CLASSES: dict[str, Any] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "lion": keras.optimizers.Lion,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}


class _WarmedUpAverage:
    """Lets the decay of an optimizer's running average rise: see `Average`."""

    @property
    def ema_momentum(self: Any) -> Any:
        steps = keras.ops.cast(self.iterations, "float32")
        return keras.ops.minimum((1.0 + steps) / (10.0 + steps), self._decay)

    @ema_momentum.setter
    def ema_momentum(self, value: float) -> None:
        self._decay = value

    def get_config(self: Any) -> dict[str, Any]:
        return {**super().get_config(), "ema_momentum": self._decay}  # type: ignore[misc]


@cache
def _averaging(optimizer: Any) -> Any:
    """Keras's class, whose average warms up; state and its order are Keras's, so that older checkpoints fit."""
    return type(optimizer.__name__, (_WarmedUpAverage, optimizer), {})


def build_optimizer(
    config: Config,
    total_steps: int,
    model: keras.Model,
    lr_multipliers: Mapping[str, float] | None = None,
    pace: Pace | None = None,
) -> keras.optimizers.Optimizer:
    """The optimizer of `config` for `total_steps` steps, which leaves the right weights of `model` undecayed.

    Args:
        config: of the training.
        total_steps: that its schedule is made for.
        model: that is trained.
        lr_multipliers: factors of the learning rate by the names of layers; 1 for others. Layers of one factor share
            an optimizer, and a gradient's norm is limited by group.
        pace: that may let the schedule run out early, or None.
    """
    if not lr_multipliers:
        return _single(config, total_steps, model, 1.0, pace)
    factors: dict[int, float] = {}
    for layer in all_layers(model, include_self=False):
        if layer.name in lr_multipliers:
            factors.update({id(variable): lr_multipliers[layer.name] for variable in layer.trainable_variables})
    optimizers = {
        factor: _single(config, total_steps, model, factor, pace) for factor in sorted({1.0, *factors.values()})
    }
    return keras.optimizers.MultiOptimizer(lambda variable: optimizers[factors.get(id(variable), 1.0)])


def _single(
    config: Config, total_steps: int, model: keras.Model, factor: float, pace: Pace | None
) -> keras.optimizers.Optimizer:
    parsed, average = config.specs.optimizer, config.specs.weight_average
    kind, averaged = _CLASSES[parsed.name], {}
    if average is not None and average.kind == "ema":
        kind = _averaging(kind)
        averaged = {"use_ema": True, "ema_momentum": average.value} if config.average else {}
    rate = build_schedule(config, total_steps, factor)
    optimizer = parsed.call(
        kind,
        learning_rate=rate if pace is None else pace.follow(rate),
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.clip_norm,
        **averaged,
    )
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=undecayed(model))
    return optimizer


@contextmanager
def not_finalized(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Leaves averages out of the model where Keras's `fit` ends: that is not always where the training does."""
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


def finalize(optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]) -> None:
    """Puts an optimizer's averages into the model, where it has some.

    Keras lets both be one array, and JAX gives the memory of either away in the next step: copies are of their own.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # inside the loss scale of float16
    if any(getattr(one, "use_ema", False) for one in [inner, *getattr(inner, "optimizers", [])]):
        optimizer.finalize_variable_values(variables)
        for variable in variables:
            variable.assign(np.array(keras.ops.convert_to_numpy(variable.value)))


def build_schedule(
    config: Config, total_steps: int, factor: float = 1.0
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The schedule of `config` for `total_steps` steps, all of it times `factor`; a float where the rate stays."""
    if read_schedule(config.specs.schedule, total_steps, config.peak_rate).plateau is not None:
        return config.peak_rate * factor  # its callback does the rest, and knows the group of the highest rate
    steps, start_rate = gradual_warmup(config, total_steps)
    return (
        read_schedule(config.specs.schedule, total_steps, config.peak_rate * factor)
        .warmed_up(steps, start_rate)
        .build()
    )


def gradual_warmup(config: Config, total_steps: int) -> tuple[int, float]:
    """Steps of the warm-up that a rate raised by the batch-size rule needs, and where it starts, of 1.

    None, (0, 1.0), where the rate is not raised or the schedule rises by itself. Goyal et al., arXiv 1706.02677,
    section 2.2: from the rate before scaling, over 5 epochs; of short trainings at most a fifth is taken.
    """
    raised = config.peak_rate / config.learning_rate
    if raised <= 1 or read_schedule(config.specs.schedule, total_steps, config.peak_rate).rises:
        return 0, 1.0
    limit = total_steps / 5
    epochs = total_steps if config.epochs is None else _WARMUP_EPOCHS * total_steps / config.epochs
    return max(round(min(epochs, limit)), 1), 1 / raised


def plateau_decay(config: Config, total_steps: int) -> PlateauDecay | None:
    """The callback that is the other half of schedule="plateau"."""
    arguments = read_schedule(config.specs.schedule, total_steps, config.peak_rate).plateau
    if arguments is None:
        return None
    steps, start_rate = gradual_warmup(config, total_steps)
    return PlateauDecay(**arguments, warmup_steps=steps, warmup_start_rate=start_rate)

"""What `fit` is given beside its configuration, checked before anything slow."""

import math
from collections.abc import Mapping, Sequence

import keras

from kerastricks.callbacks.plateau_decay import PlateauDecay
from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.training.config import Config
from kerastricks.training.optimizer import build_schedule, plateau_decay


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback], config: Config, total_steps: int) -> None:
    """Keras refuses to set the rate of an optimizer that has a schedule, in words that name neither."""
    setters = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau, PlateauDecay)
    for callback in callbacks:
        if not isinstance(callback, setters):
            continue
        if plateau_decay(config, total_steps) is not None:
            raise ConfigError(
                f"{type(callback).__name__} sets the learning rate, and so does schedule={config.schedule!r}: "
                'leave one of them out; the callback goes with schedule="constant"'
            )
        schedule = build_schedule(config, total_steps)
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            warmup = f" with the warm-up of scale_lr={config.scale_lr!r}" if schedule.name == "linear_warmup" else ""
            raise ConfigError(
                f"{type(callback).__name__} sets the learning rate, and so does schedule={config.schedule!r}{warmup}: "
                'take schedule="plateau(factor=2, patience=5)", which needs no callback, or schedule="constant"'
            )


def check_rates(rates: Mapping[str, float] | None, model: keras.Model) -> None:
    names = {layer.name for layer in model._flatten_layers(include_self=False, recursive=True)}
    for name, factor in (rates or {}).items():
        if name not in names:
            raise UnknownNameError("layer of the model", name, names)
        if not 0 < factor < math.inf:
            raise ConfigError(f"rates must be above 0: freeze a layer by trainable = False. Received: {name}={factor}")

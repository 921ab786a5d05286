"""The metric that picks epochs by validation, and the metrics that a training computes for it."""

from typing import Any

import keras

from kerastricks.metrics.class_metrics import BalancedAccuracy, MacroF1
from kerastricks.schedules.specs import read_schedule
from kerastricks.training.config import LOGGED, Config
from kerastricks.training.resolved_config import ResolvedConfig

_CLASSES: dict[str, Any] = {"balanced_accuracy": BalancedAccuracy, "macro_f1": MacroF1}
_MANY_STEPS = 2**31 - 1  # the metric of a schedule does not depend on them


def more_metrics(config: Config) -> tuple[str, ...]:
    """Names of the metrics that a training computes because `monitor` or the schedule goes by them; usually none."""
    plateau = read_schedule(config.specs.schedule, _MANY_STEPS, config.learning_rate).plateau
    asked = [config.monitor, *([] if plateau is None else [str(plateau["monitor"])])]
    return tuple(dict.fromkeys(name.removeprefix("val_") for name in asked if name.removeprefix("val_") in _CLASSES))


def logged_metrics(config: Config) -> tuple[str, ...]:
    """Names of the metrics that each epoch of a training logs, without the training's own of `more_metrics`."""
    return (*LOGGED, *(f"val_{name}" for name in more_metrics(config)))


def compiled_metrics(config: Config, class_count: int) -> list[keras.metrics.Metric]:
    """The metrics that a training is compiled with: accuracy, and those of `more_metrics`."""
    more = [_CLASSES[name](class_count) for name in more_metrics(config)]
    return [keras.metrics.SparseCategoricalAccuracy(name="accuracy"), *more]


def early_stopping(config: ResolvedConfig) -> list[keras.callbacks.Callback]:
    """The callback that ends a training without improvement and takes its best weights; none without patience."""
    if config.patience is None:
        return []
    mode = "auto" if config.monitor == "val_loss" else "max"  # Keras knows of its own metrics
    stopping = keras.callbacks.EarlyStopping(
        config.monitor, patience=config.patience, mode=mode, restore_best_weights=True
    )
    return [stopping]


def ranked_by(config: Config) -> str:
    """The metric that `keep="top(N)"` and `average` go by: accuracy where `monitor` is the loss, which decides ties."""
    return "val_accuracy" if config.monitor == "val_loss" else config.monitor

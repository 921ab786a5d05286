"""Decay of the learning rate on a plateau of the validation loss."""

import math
from typing import Any

import keras

from kerastricks.errors import ConfigError


class PlateauDecay(keras.callbacks.Callback):
    """Divides the learning rate by `factor` when `monitor` has not improved for `patience_epochs` epochs.

    The rate follows what the training does, and no length has to be known. It hurts where validation is noisy: small
    splits divide too early, which patience and `min_delta` mend. With a `MultiOptimizer` the rates of all its groups
    are divided alike, so that their ratios stay. All state is in plain attributes, from which the rate follows:
    a resumed training continues as it would have.

    Args:
        factor: what the rate is divided by, above 1: 2 or 5.
        patience_epochs: so many epochs without a better value are a plateau, 1 or more.
        cooldown_epochs: after a division, so many epochs are not counted.
        min_rate: below which the rate, of groups the highest, does not go.
        min_delta: what counts as better: lower by more than this.
        monitor: the name in the logs. One that ends in "accuracy" or "f1" shall rise, all others fall.
        warmup_steps: of a linear warm-up before it; 0 for none.
        warmup_start_rate: where the warm-up begins, as a fraction of the rate.

    Raises:
        ConfigError: for an argument outside its range; when training begins, with an optimizer that has a schedule;
            after an epoch whose logs lack `monitor`.

    Example:
        >>> import keras, kerastricks
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.1), "mse")
        >>> callback = kerastricks.callbacks.PlateauDecay(factor=5, patience_epochs=2)
        >>> callback.set_model(model)
        >>> callback.on_train_begin()
        >>> for epoch, loss in enumerate([1.0, 1.0, 1.0]):
        ...     callback.on_epoch_end(epoch, {"val_loss": loss})
        >>> round(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)), 4)
        0.02

    Reference:
        Wei: Must Know Tips/Tricks in Deep Neural Networks: "divide the learning rate by 2 (or by 5)" when the loss on
        validation stops falling. Deviations from Keras's `ReduceLROnPlateau`: divides, by 2; knows better from worse by
        the name alone; its state is resumed; a metric that is not there is an error and not a warning; all epochs of
        the cooldown are left out, where Keras counts the last of them.
    """

    def __init__(
        self,
        factor: float = 2.0,
        patience_epochs: int = 5,
        cooldown_epochs: int = 0,
        min_rate: float = 0.0,
        min_delta: float = 1e-4,
        monitor: str = "val_loss",
        warmup_steps: int = 0,
        warmup_start_rate: float = 1 / 25,
    ) -> None:
        super().__init__()
        _check(1 < factor < math.inf, "factor", "what the rate is divided by, above 1", factor)
        _check(patience_epochs >= 1, "patience_epochs", "1 or more", patience_epochs)
        _check(cooldown_epochs >= 0, "cooldown_epochs", "0 or more", cooldown_epochs)
        _check(min_rate >= 0, "min_rate", "0 or more", min_rate)
        _check(min_delta >= 0, "min_delta", "0 or more", min_delta)
        _check(warmup_steps >= 0, "warmup_steps", "0 or more", warmup_steps)
        self.factor = factor
        self.patience_epochs = patience_epochs
        self.cooldown_epochs = cooldown_epochs
        self.min_rate = min_rate
        self.min_delta = min_delta
        self.monitor = monitor
        self.warmup_steps = warmup_steps
        self.warmup_start_rate = warmup_start_rate
        self.first_rates: list[float] = []
        self.best: float | None = None
        self.divisions = 0
        self.waited_epochs = 0
        self.cooldown_left_epochs = 0
        self.step = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.model.optimizer.built and self.model.built:
            # A MultiOptimizer may not know its optimizers before.
            self.model.optimizer.build(self.model.trainable_variables)
        optimizers = _optimizers(self.model.optimizer)
        if not optimizers:
            raise ConfigError("PlateauDecay needs to know the optimizers of a MultiOptimizer: build the model first")
        self.first_rates = [_rate(optimizer) for optimizer in optimizers]
        for optimizer, rate in zip(optimizers, self.first_rates, strict=True):
            try:
                optimizer.learning_rate = rate
            except (TypeError, AttributeError):  # Keras's words for a schedule, and for a function
                raise ConfigError(
                    "PlateauDecay divides the learning rate, and the optimizer has a schedule that sets it: give the "
                    "optimizer a plain rate, SGD(0.1), or leave the callback out"
                ) from None
        _check(self.min_rate < max(self.first_rates), "min_rate", "below the rate of the optimizer", self.min_rate)
        self.best, self.divisions, self.waited_epochs, self.cooldown_left_epochs, self.step = None, 0, 0, 0, 0
        self._set_rates()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._set_rates()  # a resumed training has only the attributes

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.step <= self.warmup_steps and self.warmup_steps:
            self._set_rates()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.step += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.monitor not in (logs or {}):
            raise ConfigError(f"monitor={self.monitor!r} is not in the logs: there is {', '.join(sorted(logs or {}))}")
        value = float((logs or {})[self.monitor])
        if self.monitor.endswith(("accuracy", "f1")):
            value = -value
        better = self.best is None or value < self.best - self.min_delta
        if better:
            self.best = value
        if self.cooldown_left_epochs:
            self.cooldown_left_epochs -= 1
            self.waited_epochs = 0
        else:
            self.waited_epochs = 0 if better else self.waited_epochs + 1
        if self.waited_epochs >= self.patience_epochs:
            self.waited_epochs = 0
            if self._scale() * max(self.first_rates) > self.min_rate:
                self.divisions += 1
                self.cooldown_left_epochs = self.cooldown_epochs
                self._set_rates()

    def _scale(self) -> float:
        """Factor of all rates, without the warm-up."""
        return max(self.factor**-self.divisions, self.min_rate / max(self.first_rates))

    def _set_rates(self) -> None:
        progress = min(self.step / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        scale = self._scale() * (self.warmup_start_rate + (1.0 - self.warmup_start_rate) * progress)
        for optimizer, rate in zip(_optimizers(self.model.optimizer), self.first_rates, strict=True):
            optimizer.learning_rate = rate * scale


def _optimizers(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """Optimizers with their own rate: a `MultiOptimizer` has a list, a `LossScaleOptimizer` one inside."""
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return list(getattr(optimizer, "optimizers", [optimizer]))


def _rate(optimizer: keras.optimizers.Optimizer) -> float:
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _check(holds: bool, name: str, rule: str, value: Any) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {rule}. Received: {name}={value!r}")

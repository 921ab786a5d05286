"""Training times, and the longest training that fits a number of seconds: estimated before, timed during training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from kerastricks.data.image_data import ImageData
from kerastricks.keras_graph import precision, split_head
from kerastricks.training.fitting import fresh_stage, training_loss
from kerastricks.training.fused_batch_norm import fused_batch_norm
from kerastricks.training.resolved_config import ResolvedConfig
from kerastricks.training.training_model import TrainingModel

Clock = Callable[[], float]

# A traced training step, from its first call: seconds for a layer. An estimate, used before the first one is timed:
# efficientnet_lite0, 146 layers, took 10 to 12 s for all levels and 5 s for the last two.
TRACING_SECONDS = {"small": 0.06, "last": 0.035, "all": 0.07, "scratch": 0.07}
# A traced training step in forward passes that are not traced, before the first one is timed.
STEP_IN_FORWARDS = {"last": 2.0, "all": 3.0}
# Measured: efficientnet_lite0 at 96 pixels 0.82 s a step operation by operation, 0.38 s traced.
_TRACED = 0.6


@dataclass(frozen=True)
class Length:
    """Length of a training.

    Args:
        epochs: passes over `images`.
        images: training images of a pass: all of them, or fewer where not one pass fits.
        steps: optimizer steps in all.
        seconds: that it is expected to take.
    """

    epochs: int
    images: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """Time that a training takes.

    Args:
        step: seconds of an optimizer step.
        overhead: seconds before the first one: building, tracing.
        validation: seconds of one pass over the validation images.
    """

    step: float
    overhead: float
    validation: float


def estimated_cost(step_seconds: float, tracing: float, batch_size: int, validation_images: int) -> Cost:
    """Estimates the cost from a timed step and the tracing time; a forward pass counts as a third of a step."""
    return Cost(step_seconds, tracing, step_seconds / 3 * validation_images / batch_size)


def fit_length(
    seconds: float, cost: Cost, images: int, batch_size: int, most_epochs: int, fewest_steps: int = 1
) -> Length | None:
    """The longest training that fits; None where fewer than `fewest_steps` do."""
    batch = min(batch_size, images)
    steps_per_epoch = max(images // batch, 1)
    left = seconds - cost.overhead
    epoch = steps_per_epoch * cost.step + cost.validation
    epochs = min(int(left / epoch), most_epochs) if left > 0 else 0
    if epochs >= 1:
        steps = epochs * steps_per_epoch
        if steps >= fewest_steps or epochs == most_epochs:
            return Length(epochs, images, steps, cost.overhead + epochs * epoch)
        return None
    steps = min(int((left - cost.validation) / cost.step), steps_per_epoch) if left > cost.validation else 0
    if steps < max(fewest_steps, 1):
        return None
    return Length(1, steps * batch, steps, cost.overhead + steps * cost.step + cost.validation)


class StepClock(keras.callbacks.Callback):
    """Times steps and validations, also across interruptions: its seconds are part of a checkpoint.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.first, self.others, self.validation, self.first_validation = 0.0, 0.0, 0.0, 0.0
        self.steps, self.validations = 0, 0

    @property
    def seconds(self) -> float:
        """Seconds of all steps and validations."""
        return self.first + self.others + self.first_validation + self.validation

    @property
    def cost(self) -> Cost:
        """The measured cost; with a single step or validation, that of the first call."""
        step = self.others / (self.steps - 1) if self.steps > 1 else self.first
        once = self.validation / (self.validations - 1) if self.validations > 1 else self.first_validation
        overhead = max(self.first - step, 0.0) + max(self.first_validation - once, 0.0)
        return Cost(max(step, 1e-6), overhead, once)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._at = self._clock()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = self._clock()
        if self.steps == 0:
            self.first = now - self._at
        else:
            self.others += now - self._at
        self.steps += 1
        self._at = now

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = self._clock()
        if self.validations == 0:
            self.first_validation = now - self._at
        else:
            self.validation += now - self._at
        self.validations += 1


def time_step(network: keras.Model, data: ImageData, config: ResolvedConfig, clock: Clock) -> float:
    """Seconds that a traced step will take, batches included: from the second of two that are not traced."""
    classifier, from_logits = split_head(network)
    model = TrainingModel(classifier, fresh_stage(data.device_stage), network)
    with precision(network, config.precision), fused_batch_norm(network):
        model.build((None, *data.image_shape))
        model.compile(
            optimizer=keras.optimizers.SGD(1e-6),
            loss=training_loss(config, from_logits, data),
            run_eagerly=keras.backend.backend() == "tensorflow",  # tracing would cost more than what is timed
            jit_compile=False,
        )
        began = 0.0
        for number, (images, labels, *_) in enumerate(data.train_from(0).take(2)):
            if number == 1:
                began = clock()
            mixes = data.device_stage is not None and data.device_stage.mixes
            inputs = (images.numpy(), labels.numpy()) if mixes else images.numpy()
            model.train_on_batch(inputs, labels.numpy())
        seconds = max(clock() - began, 1e-6)
    return _TRACED * seconds if keras.backend.backend() == "tensorflow" else seconds

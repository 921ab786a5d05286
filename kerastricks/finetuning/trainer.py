"""Trains strategies: each in one training, in two parts, or in rungs whose results are compared."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.callbacks.weights import BestWeights
from kerastricks.data.image_data import ImageData
from kerastricks.errors import TrainingDivergedError
from kerastricks.features.folder import Features
from kerastricks.files import read_json_lines
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.costs import (
    STEP_IN_FORWARDS,
    TRACING_SECONDS,
    Clock,
    Cost,
    Length,
    StepClock,
    estimated_cost,
    time_step,
)
from kerastricks.finetuning.measurement import Measurement, sampled
from kerastricks.finetuning.report import StageReport
from kerastricks.finetuning.rungs import Result
from kerastricks.finetuning.settings import IN_TWO_PARTS, Settings
from kerastricks.finetuning.stages import Stage, make_stage
from kerastricks.finetuning.strategy_networks import Say, StrategyNetworks
from kerastricks.finetuning.validation import BALANCED, scored
from kerastricks.probes.rows import stratified_sample
from kerastricks.progress import Progress
from kerastricks.training.config import Config
from kerastricks.training.fitting import fit
from kerastricks.training.resolved_config import ResolvedConfig

# What a training from random weights does otherwise: the defaults of `kerastricks train`.
_FROM_RANDOM = ("optimizer", "learning_rate", "schedule", "weight_decay", "clip_norm")
_SMALL_LAYERS = 30  # of plain_cnn, about


@dataclass
class Trained:
    """A network that was trained by one strategy.

    Args:
        name: the strategy.
        model: float32.
        accuracy: on validation, of the float32 model.
        loss: log-loss on validation, in nats, of the same.
        stages: how it came there.
        balanced_accuracy: mean recall of the classes on validation, of the same.
    """

    name: str
    model: keras.Model
    accuracy: float
    loss: float
    stages: list[StageReport]
    balanced_accuracy: float


class Trainer:
    """Trains strategies on one data set and backbone.

    Args:
        data: images.
        backbone: in their size, or they are resized.
        config: resolved.
        settings: head and dropout are used.
        measurement: whose probes are the heads.
        features: that it was measured on.
        run_folder: where trainings are logged and saved, or None.
        say: gets a line about each training.
        progress: where long work shows how far it is.
        small: the images for the small network and the configuration of its training, resolved; None for none.
        clock: gives seconds.
    """

    def __init__(
        self,
        data: ImageData,
        backbone: Backbone,
        config: ResolvedConfig,
        settings: Settings,
        measurement: Measurement,
        features: Features,
        run_folder: Path | None,
        say: Say,
        progress: Progress,
        small: tuple[ImageData, ResolvedConfig] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.data, self.backbone, self.config, self.settings = data, backbone, config, settings
        self.measurement = measurement
        self.run_folder, self.say, self.clock = run_folder, say, clock
        # What is done about imbalanced classes pays in recall of the rare ones, and costs accuracy.
        self.by_class = bool(config.specs.imbalance) or settings.strategy in IN_TWO_PARTS
        weighted = self.by_class and settings.strategy not in IN_TWO_PARTS
        self.networks = StrategyNetworks(
            data, backbone, settings, measurement, features, config.seed, say, progress, small, clock, weighted
        )

    # -- strategies in one piece

    def head_only(self, strategy: str, level: str) -> Trained:
        """A head on the features of a level: "linear", "earlier"."""
        network, stages = self.networks.with_head(level)
        stages = self.with_balanced(network, stages)
        return self.finished_network(strategy, network, stages)

    def in_one_piece(self, strategy: str, length: Length) -> Trained:
        """Trains a given strategy: its head, if it has one, then one training.

        Raises:
            TrainingDivergedError: when the loss of a training from random weights is not finite.
        """
        network, stages = self.networks.network(strategy)
        stages = self.with_balanced(network, stages)
        try:
            stages = [*stages, self._train(strategy, "whole", length, stages[0] if stages else None)[0]]
        except TrainingDivergedError as error:
            if not stages:
                raise
            self.say(f"  {error}; the weights before this training are kept")
        return self.finished_network(strategy, network, stages)

    def probe_alone(self) -> Trained:
        """The linear classifier on the top features."""
        return self.finished_network("probe", self.networks.with_probe(), [])

    # -- rungs: short trainings, and their continuations

    def probe_result(self, name: str, level: str) -> Result:
        """The result of a strategy that is a probe, on the validation images that are compared."""
        [probe] = [score.probe for score in self.measurement.levels if score.layer == level]
        correct = probe.probabilities.argmax(axis=1) == self.compared(self.data).labels("validation")
        return Result(name, 0, probe.accuracy.value, probe.log_loss, correct)

    def rung(self, strategy: str, number: int, length: Length, before: Result | None) -> Result:
        """Runs the short training (1), or continues it with the remaining budget (2).

        Raises:
            TrainingDivergedError: when the loss is not finite; the weights are then those before.
        """
        began = self.clock()
        network, _ = self.networks.network(strategy)
        report, best, clock = self._train(strategy, f"rung{number}", length, before)
        data, _ = self._images(strategy)
        found = scored(network, self.compared(data))
        seconds = max(self.clock() - began, clock.seconds)
        # What is needed besides steps: building the network, tracing, and the scores at the end.
        spent = clock.steps * clock.cost.step + max(clock.validations, 1) * clock.cost.validation
        cost = dataclasses.replace(clock.cost, overhead=max(seconds - spent, 0.0))
        stage = dataclasses.asdict(dataclasses.replace(report, validation_accuracy=found.accuracy, seconds=seconds))
        scores = found.accuracy, found.loss, found.correct
        return Result(strategy, number, *scores, seconds, length, cost, best, stage)

    def restore(self, results: list[Result]) -> None:
        """Restores the final weights of a network's rungs that another process trained."""
        if results[0].name in self.networks:
            return
        before = None
        for result in results:
            if result.length is not None:  # a probe trained nothing
                self._train(result.name, f"rung{result.rung}", result.length, before)
                before = result

    def finished(self, results: list[Result]) -> Trained:
        """The network of a strategy after its rungs."""
        network, stages = self.networks.network(results[0].name)
        reports = [StageReport(**result.stage) for result in results if result.stage is not None]
        return self.finished_network(results[0].name, network, [*stages, *reports])

    def first_guess(self, strategy: str) -> Cost:
        """Estimates the cost of a short training: for the backbone from the forward pass that measuring timed."""
        forward = self.measurement.forward
        if strategy == "small" or forward is None:
            return self.cost(strategy)
        validation = self.measurement.images["validation"]
        step = forward * self.data.batch_size * STEP_IN_FORWARDS[strategy]
        return Cost(step, self.tracing(strategy), forward * validation)

    def cost(self, strategy: str) -> Cost:
        """Estimates the cost of training from one step that is timed without being compiled; no weight is changed."""
        return self.cost_of(strategy, self._stage(strategy), *self._images(strategy), self.tracing(strategy))

    def cost_of(
        self, strategy: str, stage: Stage | None, data: ImageData, config: ResolvedConfig, tracing: float
    ) -> Cost:
        """Estimates the cost of a stage of a strategy's network, as `cost` does."""
        network, _ = self.networks.network(strategy)
        frozen = self._freeze(network, stage) if stage else []
        before = network.get_weights()
        try:
            step = time_step(network, data, config, self.clock)
        finally:
            network.set_weights(before)
            for layer in frozen:
                layer.trainable = True
        validation = self.compared(data).splits["validation"].size
        return estimated_cost(step, tracing, data.batch_size, validation)

    def tracing(self, strategy: str) -> float:
        """Seconds that the first step is expected to take longer than the others."""
        layers = _SMALL_LAYERS if strategy == "small" else len(self.backbone.model.layers)
        return TRACING_SECONDS[strategy] * layers

    def images(self, strategy: str) -> tuple[int, int]:
        """Training images that a strategy's network gets, and the images of a step."""
        data, _ = self._images(strategy)
        return data.splits["train"].size, data.batch_size

    def most_epochs(self, strategy: str) -> int:
        """Maximum number of epochs for a strategy's network."""
        return self._images(strategy)[1].epochs

    # -- training

    def _images(self, strategy: str) -> tuple[ImageData, ResolvedConfig]:
        """The images of a strategy, and the configuration of its training."""
        if strategy == "small":
            return self.networks.small
        config = self.config
        if strategy == "scratch":
            plain = Config()
            # The rate for a mean over 128 images, brought to this batch size: Goyal et al., arXiv 1706.02677.
            fields = {field: getattr(plain, field) for field in _FROM_RANDOM}
            config = config.replace(**fields, scale_lr="linear", base_batch=plain.batch_size)
        stage = self._stage(strategy)
        factor = 1.0 if stage is None else stage.rate
        return self.data, config.replace(learning_rate=config.learning_rate * factor)

    def _stage(self, strategy: str) -> Stage | None:
        return None if strategy in ("small", *IN_TWO_PARTS) else make_stage(strategy, self.backbone.levels)

    def compared(self, data: ImageData) -> ImageData:
        """Restricts validation to the measured images, so that all strategies are compared on the same ones."""
        return sampled(data, {"validation": self.measurement.images["validation"]})

    def _train(
        self, strategy: str, name: str, length: Length, before: StageReport | Result | None
    ) -> tuple[StageReport, tuple[float, float], StepClock]:
        data, config = self._images(strategy)
        data = self.compared(data)
        # A training from random weights is bad for many epochs before it is good, and so is one at a high rate; one
        # that has a budget was planned to use it.
        patience = config.patience if name == "whole" and strategy == "last" else None
        kept: tuple[float | None, float | None] = (None, None)
        if isinstance(before, StageReport):
            kept = before.validation_accuracy, None
            if self.by_class:
                kept = before.validation_balanced_accuracy, None
        elif before is not None:
            kept = before.best or (before.accuracy, None)
        best = BestWeights(*kept, patience, monitor=BALANCED if self.by_class else "val_accuracy")
        report, clock = self.train_stage(strategy, name, self._stage(strategy), data, config, length, best)
        return report, (best.best_accuracy, best.best_loss), clock

    def train_stage(
        self,
        strategy: str,
        name: str,
        stage: Stage | None,
        data: ImageData,
        config: ResolvedConfig,
        length: Length,
        best: BestWeights,
    ) -> tuple[StageReport, StepClock]:
        """Trains a strategy's network, and leaves it in the best weights; an interrupted stage is resumed.

        Args:
            strategy: whose network is trained.
            name: of the stage's folder, after the strategy's.
            stage: the layers that learn, and their rates; None for all.
            data: images of training and of validation.
            config: of the training; its epochs are those of `length`.
            length: of the training.
            best: keeps the best weights.

        Raises:
            TrainingDivergedError: when the loss is not finite; the weights are then the best ones before.
        """
        network, _ = self.networks.network(strategy)
        images = data.splits["train"].size
        if length.images < images:
            rows = max(length.images, len(data.class_names))
            data = data.taken(stratified_sample(data.labels("train"), rows, data.seed))
        frozen = self._freeze(network, stage) if stage else []
        learning = [layer for layer in network.layers if layer.trainable_weights]
        factors = stage.lr_multipliers if stage else {}
        factors = {layer.name: factors[layer.name] for layer in learning if layer.name in factors}
        parameters = sum(int(np.prod(w.shape)) for layer in learning for w in layer.trainable_weights)
        clock = StepClock(self.clock)
        folder = None
        if self.run_folder is not None:
            folder = self.run_folder / "stages" / f"{strategy}-{name}"
            folder.mkdir(parents=True, exist_ok=True)
        monitor = BALANCED if self.by_class else config.monitor
        config = config.replace(epochs=length.epochs, early_stopping_epochs=None, monitor=monitor)
        what = stage.name if stage else f"{network.name} at {data.image_shape[0]} pixels"
        share = "" if length.images >= images else f" of {length.images:,} images"
        self.say(f"{strategy}: {what}, {parameters:,} weights learn, {length.epochs} epochs{share}")
        try:
            fit(network, data, config, callbacks=[best, clock], lr_multipliers=factors, run_folder=folder)
        except TrainingDivergedError:
            best.model.set_weights(best.best_weights)
            raise
        finally:
            for layer in frozen:
                layer.trainable = True
        seconds = _logged_seconds(folder) if folder else clock.seconds
        kept_before = "" if best.best_epoch else ", as before it"
        measure = "balanced accuracy" if self.by_class else "accuracy"
        self.say(f"  validation {measure} {best.best_accuracy:.1%}{kept_before}")
        report = StageReport(what, length.epochs, seconds, parameters, best.best_accuracy, best.best_epoch)
        if self.by_class:
            found = scored(network, self.compared(self._images(strategy)[0]))
            report = dataclasses.replace(
                report, validation_accuracy=found.accuracy, validation_balanced_accuracy=found.balanced_accuracy
            )
        return report, clock

    def _freeze(self, network: keras.Model, stage: Stage) -> list[Any]:
        """Freezes the layers that the stage does not train, and returns those that were trainable before."""
        levels = self.backbone.levels
        below = {layer for level in levels[: len(levels) - stage.unfrozen] for layer in level.layers}
        frozen = [
            layer
            for layer in network.layers
            if layer.trainable
            and (layer.name in below or (stage.freezes_norms and isinstance(layer, keras.layers.BatchNormalization)))
        ]
        for layer in frozen:
            layer.trainable = False
        return frozen

    def with_balanced(self, network: keras.Model, stages: list[StageReport]) -> list[StageReport]:
        """Adds the balanced accuracy of a network to the report of its head, where epochs are compared by it."""
        if not self.by_class or not stages:
            return stages
        balanced = scored(network, self.compared(self.data)).balanced_accuracy
        return [dataclasses.replace(stages[0], validation_balanced_accuracy=balanced), *stages[1:]]

    def finished_network(self, name: str, network: keras.Model, stages: list[StageReport]) -> Trained:
        """Adds the accuracy of the float32 model, which is the one saved."""
        data, _ = self._images(name) if name == "small" else (self.data, None)
        found = scored(network, data)
        return Trained(name, network, found.accuracy, found.loss, stages, found.balanced_accuracy)


def _logged_seconds(folder: Path) -> float:
    return float(sum(line["seconds"] for line in read_json_lines(folder / "metrics.jsonl")))

"""Carries plans out: a head on features, levels of the backbone, a small network from random weights."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.callbacks.weights import BestWeights
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError, TrainingDivergedError
from kerastricks.features.caching import cached
from kerastricks.features.folder import Features
from kerastricks.files import read_json_lines
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.measurement import Measurement, sampled
from kerastricks.finetuning.network import build_network, fit_head, head_layers, set_linear_head
from kerastricks.finetuning.report import StageReport
from kerastricks.finetuning.rungs import STEP_IN_FORWARDS, TRACING_SECONDS, Clock, Cost, Length, Result, estimated_cost
from kerastricks.finetuning.settings import Settings
from kerastricks.finetuning.stages import Stage, make_stage
from kerastricks.initializers.data_driven import start_from_data
from kerastricks.keras_graph import precision, split_head
from kerastricks.models.creation import create
from kerastricks.probes.linear import LinearProbe, linear_probe
from kerastricks.probes.rows import stratified_sample
from kerastricks.progress import Progress
from kerastricks.training.config import Config
from kerastricks.training.fitting import check_fits, fit, fresh_stage, training_loss
from kerastricks.training.fused_batch_norm import fused_batch_norm
from kerastricks.training.training_model import TrainingModel

Say = Callable[[str], None]
# What a training from random weights does otherwise: the defaults of `kerastricks train`.
_FROM_RANDOM = ("optimizer", "learning_rate", "schedule", "weight_decay", "clip_norm")
_TRACED = 0.6
_SMALL_LAYERS = 30  # of plain_cnn, about


@dataclass
class Trained:
    """A network that was trained by one plan.

    Args:
        name: the plan.
        model: float32.
        accuracy: on validation, of the float32 model.
        loss: log-loss on validation, in nats, of the same.
        stages: how it came there.
    """

    name: str
    model: keras.Model
    accuracy: float
    loss: float
    stages: list[StageReport]


class StepClock(keras.callbacks.Callback):
    """Times steps and validations, over interruptions too: its seconds are part of a checkpoint.

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
        """All of them."""
        return self.first + self.others + self.first_validation + self.validation

    @property
    def cost(self) -> Cost:
        """As it was; where there was a single step or validation, its first call is all that is known."""
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


class Trainer:
    """Carries plans out on one data set and backbone.

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
        config: Config,
        settings: Settings,
        measurement: Measurement,
        features: Features,
        run_folder: Path | None,
        say: Say,
        progress: Progress,
        small: tuple[ImageData, Config] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.data, self.backbone, self.config, self.settings = data, backbone, config, settings
        self.measurement, self.features = measurement, features
        self.run_folder, self.say, self.progress = run_folder, say, progress
        self.small, self.clock = small, clock
        self._probes: dict[str, tuple[LinearProbe, Features]] = {}
        self._networks: dict[str, tuple[keras.Model, list[StageReport]]] = {}

    # -- plans in one piece

    def head_only(self, plan: str, level: str) -> Trained:
        """A head on the features of a level: "linear", "earlier"."""
        network, stages = self._with_head(level)
        return self._finished(plan, network, stages)

    def in_one_piece(self, plan: str, length: Length) -> Trained:
        """A plan that was asked for: the head where it has one, then one training.

        Raises:
            TrainingDivergedError: when the loss of a training from random weights is not finite.
        """
        network, stages = self.network(plan)
        try:
            stages = [*stages, self._train(plan, "whole", length, stages[0] if stages else None)[0]]
        except TrainingDivergedError as error:
            if not stages:
                raise
            self.say(f"  {error}; the weights before this training are kept")
        return self._finished(plan, network, stages)

    def probe_alone(self) -> Trained:
        """The linear classifier on the top features."""
        network = self._backbone_network()
        set_linear_head(head_layers(network, self.backbone), self.probe(self.backbone.top))
        return self._finished("probe", network, [])

    def probe(self, level: str) -> LinearProbe:
        """Fitted to all training images and scored on all of validation."""
        return self._probed(level)[0]

    # -- short trainings, and what goes on from them

    def probe_result(self, name: str, level: str) -> Result:
        """What the measurement says of a plan that is a probe, on the validation images that are compared."""
        [probe] = [score.probe for score in self.measurement.levels if score.layer == level]
        correct = probe.probabilities.argmax(axis=1) == self._compared(self.data).labels("validation")
        return Result(name, 0, probe.accuracy.value, probe.log_loss, correct)

    def rung(self, plan: str, number: int, length: Length, before: Result | None) -> Result:
        """A short training (1), or the one that goes on from its weights with the rest of the budget (2).

        Raises:
            TrainingDivergedError: when the loss is not finite; the weights are then those before.
        """
        began = self.clock()
        network, _ = self.network(plan)
        report, best, clock = self._train(plan, f"rung{number}", length, before)
        data, _ = self._images(plan)
        accuracy, loss, correct = _scores(network, self._compared(data))
        seconds = max(self.clock() - began, clock.seconds)
        # What is needed besides steps: building the network, tracing, and the scores at the end.
        spent = clock.steps * clock.cost.step + max(clock.validations, 1) * clock.cost.validation
        cost = dataclasses.replace(clock.cost, overhead=max(seconds - spent, 0.0))
        stage = dataclasses.asdict(dataclasses.replace(report, validation_accuracy=accuracy, seconds=seconds))
        return Result(plan, number, accuracy, loss, correct, seconds, length, cost, best, stage)

    def restore(self, results: list[Result]) -> None:
        """Puts a network back into the weights that its rungs ended in, where another process trained them."""
        if results[0].name in self._networks:
            return
        before = None
        for result in results:
            assert result.length is not None
            self._train(result.name, f"rung{result.rung}", result.length, before)
            before = result

    def finished(self, results: list[Result]) -> Trained:
        """The network of a plan after its rungs."""
        network, stages = self.network(results[0].name)
        reports = [StageReport(**result.stage) for result in results if result.stage is not None]
        return self._finished(results[0].name, network, [*stages, *reports])

    def first_guess(self, plan: str) -> Cost:
        """What a short training costs: for the backbone from the forward pass that measuring timed."""
        forward = self.measurement.forward
        if plan == "small" or forward is None:
            return self.cost(plan)
        validation = self.measurement.images["validation"]
        step = forward * self.data.batch_size * STEP_IN_FORWARDS[plan]
        return Cost(step, self.tracing(plan), forward * validation)

    def cost(self, plan: str) -> Cost:
        """What training costs, from one step that is timed without being compiled; no weight is changed."""
        network, _ = self.network(plan)
        data, config = self._images(plan)
        stage = self._stage(plan)
        frozen = self._freeze(network, stage) if stage else []
        before = network.get_weights()
        try:
            step = _time_step(network, data, config, self.clock)
        finally:
            network.set_weights(before)
            for layer in frozen:
                layer.trainable = True
        validation = self._compared(data).splits["validation"].size
        return estimated_cost(step, self.tracing(plan), data.batch_size, validation)

    def tracing(self, plan: str) -> float:
        """Seconds that the first step is expected to take longer than the others."""
        layers = _SMALL_LAYERS if plan == "small" else len(self.backbone.model.layers)
        return TRACING_SECONDS[plan] * layers

    def images(self, plan: str) -> tuple[int, int]:
        """Training images that a plan's network gets, and the images of a step."""
        data, _ = self._images(plan)
        return data.splits["train"].size, data.batch_size

    def most_epochs(self, plan: str) -> int:
        """Passes over the training images that a plan's network gets at most."""
        epochs = self._images(plan)[1].epochs
        assert epochs is not None
        return epochs

    # -- networks

    def network(self, plan: str) -> tuple[keras.Model, list[StageReport]]:
        """The network of a plan, made when it is asked for the first time, and the stage of its head."""
        if plan not in self._networks:
            keras.utils.set_random_seed(self.config.seed)
            if plan == "small":
                self._networks[plan] = self._small_network(), []
            elif plan == "scratch":
                network = self._backbone_network(pretrained=False, head=self.settings.head)
                start_from_data(network, self.data.sample())
                self._networks[plan] = network, []
            else:
                self._networks[plan] = self._with_head(self.backbone.top)
        return self._networks[plan]

    def _small_network(self) -> keras.Model:
        if self.small is None:
            raise ConfigError(
                "plan small needs the images at its size: finetune(..., small_data=kerastricks.data.load(..., "
                "image_size=32))"
            )
        data, config = self.small
        model = create(config.model, data.image_shape, len(data.class_names), mean=data.mean, std=data.std)
        start_from_data(model, data.sample())
        check_fits(model, data)
        return model

    def _backbone_network(self, **how: Any) -> keras.Model:
        classes = len(self.data.class_names)
        return build_network(self.backbone, self.data.image_shape, classes, dropout=self.settings.dropout, **how)

    def _with_head(self, level: str) -> tuple[keras.Model, list[StageReport]]:
        keras.utils.set_random_seed(self.config.seed)
        began = self.clock()
        network = self._backbone_network(end=level, head=self.settings.head)
        probe, features = self._probed(level)
        layers = head_layers(network, self.backbone)
        accuracy, epochs = probe.accuracy.value, 0
        if not self.settings.head:
            set_linear_head(layers, probe)
        else:
            of = [(features.of(split, level), features.labels(split)) for split in ("train", "validation")]
            epochs, accuracy = fit_head(layers, *of[0], *of[1], self.settings.dropout)
        self.say(f"head on the features of {level}: validation accuracy {accuracy:.1%}")
        parameters = sum(layer.count_params() for layer in layers)
        return network, [StageReport("head", epochs, self.clock() - began, parameters, accuracy)]

    def _probed(self, level: str) -> tuple[LinearProbe, Features]:
        if level not in self._probes:
            features = self.features
            [probe] = [score.probe for score in self.measurement.levels if score.layer == level]
            # A budget holds no further pass over all images: the probe of those that were measured is the head.
            whole = {split: self.data.splits[split].size for split in self.measurement.images}
            if self.settings.seconds is None and self.measurement.images != whole:
                self.say(f"features of {level} for all images, of which a part was measured")
                network = self._backbone_network()
                features = cached(network, (level,), self.data, ("train", "validation"), self.progress)
                of = [(features.of(split, level), features.labels(split)) for split in ("train", "validation")]
                probe = linear_probe(*of[0], *of[1], classes=len(self.data.class_names), seed=self.data.seed)
            self._probes[level] = probe, features
        return self._probes[level]

    # -- training

    def _images(self, plan: str) -> tuple[ImageData, Config]:
        """The images of a plan, and the configuration of its training."""
        if plan == "small":
            if self.small is None:
                self._small_network()  # says so
            assert self.small is not None
            return self.small
        config = self.config
        if plan == "scratch":
            plain = Config()
            # The rate for a mean over 128 images, brought to this batch size: Goyal et al., arXiv 1706.02677.
            fields = {field: getattr(plain, field) for field in _FROM_RANDOM}
            config = dataclasses.replace(config, **fields, scale_lr="linear", base_batch=plain.batch_size)
        stage = self._stage(plan)
        factor = 1.0 if stage is None else stage.rate
        return self.data, dataclasses.replace(config, learning_rate=config.learning_rate * factor)

    def _stage(self, plan: str) -> Stage | None:
        return None if plan == "small" else make_stage(plan, self.backbone.levels)

    def _compared(self, data: ImageData) -> ImageData:
        """With the validation images that were measured, so that all are compared on the same."""
        return sampled(data, {"validation": self.measurement.images["validation"]})

    def _train(
        self, plan: str, name: str, length: Length, before: StageReport | Result | None
    ) -> tuple[StageReport, tuple[float, float], StepClock]:
        network, _ = self.network(plan)
        data, config = self._images(plan)
        data = self._compared(data)
        if length.images < data.splits["train"].size:
            rows = max(length.images, len(data.class_names))
            data = data.taken(stratified_sample(data.labels("train"), rows, data.seed))
        stage = self._stage(plan)
        frozen = self._freeze(network, stage) if stage else []
        learning = [layer for layer in network.layers if layer.trainable_weights]
        factors = stage.lr_multipliers if stage else {}
        factors = {layer.name: factors[layer.name] for layer in learning if layer.name in factors}
        parameters = sum(int(np.prod(w.shape)) for layer in learning for w in layer.trainable_weights)
        # A training from random weights is bad for many epochs before it is good, and so is one at a high rate; one
        # that has a budget was planned to use it.
        patience = config.early_stopping_epochs if name == "whole" and plan == "last" else None
        patience = patience if isinstance(patience, int) else None
        kept: tuple[float | None, float | None] = (None, None)
        if isinstance(before, StageReport):
            kept = before.validation_accuracy, None
        elif before is not None:
            kept = before.best or (before.accuracy, None)
        best, clock = BestWeights(*kept, patience), StepClock(self.clock)
        folder = None
        if self.run_folder is not None:
            folder = self.run_folder / "stages" / f"{plan}-{name}"
            folder.mkdir(parents=True, exist_ok=True)
        config = dataclasses.replace(config, epochs=length.epochs, early_stopping_epochs=None)
        what = stage.name if stage else f"{network.name} at {data.image_shape[0]} pixels"
        share = "" if length.images >= self.images(plan)[0] else f" of {length.images:,} images"
        self.say(f"{plan}: {what}, {parameters:,} weights learn, {length.epochs} epochs{share}")
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
        self.say(f"  validation accuracy {best.best_accuracy:.1%}{kept_before}")
        report = StageReport(
            stage.name if stage else what, length.epochs, seconds, parameters, best.best_accuracy, best.best_epoch
        )
        return report, (best.best_accuracy, best.best_loss), clock

    def _freeze(self, network: keras.Model, stage: Stage) -> list[Any]:
        """Freezes what the stage does not train, and says which layers learned before."""
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

    def _finished(self, name: str, network: keras.Model, stages: list[StageReport]) -> Trained:
        """With the accuracy of the float32 model, which is what is saved."""
        data, _ = self._images(name) if name == "small" else (self.data, None)
        accuracy, loss, _ = _scores(network, data)
        return Trained(name, network, accuracy, loss, stages)


def _scores(network: keras.Model, data: ImageData) -> tuple[float, float, np.ndarray]:
    """Accuracy, log-loss and what is correct, on validation."""
    with data.one_error():
        predictions = [np.asarray(network.predict_on_batch(images.numpy())) for images, _ in data.validation]
    probabilities = np.concatenate(predictions)
    labels = data.labels("validation")
    correct = probabilities.argmax(axis=1) == labels
    chosen = np.take_along_axis(probabilities, labels[:, None], axis=1)
    loss = float(-np.mean(np.log(np.maximum(chosen, 1e-12))))
    return float(np.mean(correct)), loss, correct


def _time_step(network: keras.Model, data: ImageData, config: Config, clock: Clock) -> float:
    """Seconds that a traced step will take, batches included: from the second of two that are not traced."""
    classifier, from_logits = split_head(network)
    model = TrainingModel(classifier, fresh_stage(data.device_stage), network)
    with precision(network, config.precision), fused_batch_norm(network):
        model.build((None, *data.image_shape))
        model.compile(
            optimizer=keras.optimizers.SGD(1e-6),
            loss=training_loss(config, from_logits, data.augmentation.mixes),
            run_eagerly=keras.backend.backend() == "tensorflow",  # tracing would cost more than what is timed
            jit_compile=False,
        )
        began = 0.0
        for number, (images, labels) in enumerate(data.train_from(0).take(2)):
            if number == 1:
                began = clock()
            mixes = data.device_stage is not None and data.device_stage.mixes
            inputs = (images.numpy(), labels.numpy()) if mixes else images.numpy()
            model.train_on_batch(inputs, labels.numpy())
        seconds = max(clock() - began, 1e-6)
    # Measured: efficientnet_lite0 at 96 pixels 0.82 s a step operation by operation, 0.38 s traced.
    return _TRACED * seconds if keras.backend.backend() == "tensorflow" else seconds


def _logged_seconds(folder: Path) -> float:
    return float(sum(line["seconds"] for line in read_json_lines(folder / "metrics.jsonl")))

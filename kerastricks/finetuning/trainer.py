"""Carries a plan out: the head on features, then stage by stage."""

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from kerastricks.callbacks.best_weights import BestWeights
from kerastricks.data.image_data import ImageData
from kerastricks.data.progress import Progress
from kerastricks.errors import TrainingDivergedError
from kerastricks.features.cached import cached
from kerastricks.features.folder import Features
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.head import fit_head, set_linear_head
from kerastricks.finetuning.linear_probe import LinearProbe, linear_probe
from kerastricks.finetuning.measurement import Measurement
from kerastricks.finetuning.network import build_network, head_layers
from kerastricks.finetuning.report import StageReport
from kerastricks.finetuning.settings import Settings
from kerastricks.finetuning.stages import Stage, make_stages
from kerastricks.initializers.start_from_data import start_from_data
from kerastricks.training.config import Config
from kerastricks.training.fit import fit

Say = Callable[[str], None]
# What a training from random weights does otherwise: the defaults of `kerastricks train`.
_FROM_RANDOM = ("optimizer", "learning_rate", "schedule", "weight_decay", "clip_norm")


class Best(NamedTuple):
    """Validation accuracy of the weights so far, and their loss as the training counts it."""

    accuracy: float
    loss: float | None


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

    @property
    def score(self) -> tuple[float, float]:
        """Higher is better."""
        return self.accuracy, -self.loss


class Trainer:
    """Carries plans out on one data set and backbone.

    Args:
        data: images.
        backbone: in their size, or they are resized.
        config: resolved.
        settings: head and dropout are used.
        measurement: whose probes are the heads.
        features: that it was measured on.
        run_folder: where stages are logged and saved, or None.
        say: gets a line about each stage.
        progress: where long work shows how far it is.
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
    ) -> None:
        self.data, self.backbone, self.config, self.settings = data, backbone, config, settings
        self.measurement, self.features = measurement, features
        self.run_folder, self.say, self.progress = run_folder, say, progress
        self._probes: dict[str, tuple[LinearProbe, Features]] = {}

    def from_backbone(self, plan: str, level: str) -> Trained:
        """Head, then the stages of the plan, on the backbone up to a level."""
        keras.utils.set_random_seed(self.config.seed)
        network = self._network(end=level, head=self.settings.head)
        stages = [self._head(network, level)]
        best = Best(stages[0].validation_accuracy, None)
        assert self.config.epochs is not None
        for number, stage in enumerate(make_stages(plan, self.backbone.levels, self.config.epochs), start=1):
            try:
                report, best = self._stage(network, stage, f"{plan}-{number}", best, self.config)
            except TrainingDivergedError as error:
                self.say(f"  {error}; the weights before this stage are kept, and no further one is tried")
                break
            stages.append(report)
        return self._finished(plan, network, stages)

    def from_random(self) -> Trained:
        """The same network from random weights, with the rates of a training from random weights."""
        keras.utils.set_random_seed(self.config.seed)
        network = self._network(pretrained=False, head=self.settings.head)
        start_from_data(network, self.data.sample())
        assert self.config.epochs is not None
        [stage] = make_stages("scratch", self.backbone.levels, self.config.epochs)
        plain = Config()
        # The rate for a mean over 128 images, brought to this batch size: Goyal et al., arXiv 1706.02677.
        fields = {field: getattr(plain, field) for field in _FROM_RANDOM}
        fields |= {"scale_lr": "linear", "base_batch": plain.batch_size}
        report, _ = self._stage(network, stage, "scratch-0", None, dataclasses.replace(self.config, **fields))
        return self._finished("scratch", network, [report])

    def probe_alone(self) -> Trained:
        """The linear classifier on the top features."""
        network = self._network()
        set_linear_head(head_layers(network, self.backbone), self.probe(self.backbone.top))
        return self._finished("probe", network, [])

    def probe(self, level: str) -> LinearProbe:
        """Fitted to all training images and scored on all of validation."""
        return self._probed(level)[0]

    def _probed(self, level: str) -> tuple[LinearProbe, Features]:
        if level not in self._probes:
            features = self.features
            [probe] = [score.probe for score in self.measurement.levels if score.layer == level]
            if self.measurement.images != {split: self.data.splits[split].size for split in self.measurement.images}:
                self.say(f"features of {level} for all images, of which a part was measured")
                network = self._network()
                features = cached(network, (level,), self.data, ("train", "validation"), self.progress)
                of = [(features.of(split, level), features.labels(split)) for split in ("train", "validation")]
                probe = linear_probe(*of[0], *of[1], classes=len(self.data.class_names), seed=self.data.seed)
            self._probes[level] = probe, features
        return self._probes[level]

    def _network(self, **how: Any) -> keras.Model:
        classes = len(self.data.class_names)
        return build_network(self.backbone, self.data.image_shape, classes, dropout=self.settings.dropout, **how)

    def _head(self, network: keras.Model, level: str) -> StageReport:
        began = time.monotonic()
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
        return StageReport("head", epochs, time.monotonic() - began, parameters, accuracy)

    def _stage(
        self, network: keras.Model, stage: Stage, name: str, before: Best | None, config: Config
    ) -> tuple[StageReport, Best]:
        began = time.monotonic()
        frozen = self._freeze(network, stage)
        learning = [layer for layer in network.layers if layer.trainable_weights]
        rates = {layer.name: stage.rates[layer.name] for layer in learning if layer.name in stage.rates}
        parameters = sum(int(np.prod(w.shape)) for layer in learning for w in layer.trainable_weights)
        # A training from random weights is bad for many epochs before it is good.
        patience = config.early_stopping_epochs if before is not None else None
        patience = patience if isinstance(patience, int) else None
        best = BestWeights(before and before.accuracy, before and before.loss, patience)
        self.say(f"stage: {stage.name}, {stage.epochs} epochs, {parameters:,} weights learn")
        folder = None
        if self.run_folder is not None:
            folder = self.run_folder / "stages" / name
            folder.mkdir(parents=True, exist_ok=True)
        config = dataclasses.replace(config, epochs=stage.epochs, early_stopping_epochs=None)
        try:
            fit(network, self.data, config, callbacks=[best], rates=rates, run_folder=folder)
        except TrainingDivergedError:
            best.model.set_weights(best.best_weights)
            raise
        finally:
            for layer in frozen:
                layer.trainable = True
        seconds = _logged_seconds(folder) if folder else time.monotonic() - began
        self.say(f"  validation accuracy {best.best_accuracy:.1%}" + ("" if best.best_epoch else ", as before it"))
        report = StageReport(stage.name, stage.epochs, seconds, parameters, best.best_accuracy, best.best_epoch)
        return report, Best(best.best_accuracy, best.best_loss if best.best_epoch else (before and before.loss))

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
        with self.data.one_error():
            predictions = [np.asarray(network.predict_on_batch(images.numpy())) for images, _ in self.data.validation]
        probabilities = np.concatenate(predictions)
        labels = self.data.labels("validation")
        accuracy = float(np.mean(probabilities.argmax(axis=1) == labels))
        chosen = np.take_along_axis(probabilities, labels[:, None], axis=1)
        loss = float(-np.mean(np.log(np.maximum(chosen, 1e-12))))
        return Trained(name, network, accuracy, loss, stages)


def _logged_seconds(folder: Path) -> float:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return float(sum(json.loads(line)["seconds"] for line in lines))

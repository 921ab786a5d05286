"""The networks that strategies train: the backbone with a head on its features, from random weights, a small one."""

from collections.abc import Callable
from typing import Any

import keras

from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError
from kerastricks.features.caching import cached
from kerastricks.features.folder import Features
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.costs import Clock
from kerastricks.finetuning.measurement import Measurement, sampled
from kerastricks.finetuning.network import build_network, fit_head, head_layers, set_linear_head
from kerastricks.finetuning.report import StageReport
from kerastricks.finetuning.settings import Settings
from kerastricks.imbalance.weighting import class_weights
from kerastricks.initializers.data_driven import start_from_data
from kerastricks.models.creation import create
from kerastricks.probes.linear import LinearProbe, linear_probe
from kerastricks.progress import Progress
from kerastricks.training.fitting import check_fits, cosine_scale
from kerastricks.training.resolved_config import ResolvedConfig

Say = Callable[[str], None]


class StrategyNetworks:
    """A network per strategy, built on first use; heads are fitted to features of the frozen backbone.

    Args:
        data: images.
        backbone: in their size, or they are resized.
        settings: head and dropout are used.
        measurement: whose probes are the heads.
        features: that it was measured on.
        seed: of the weights that are random.
        say: gets a line about each head.
        progress: shows how far a pass over all images is.
        small: the images of the small network and the configuration of its training; None for none.
        clock: gives seconds.
        weighted: whether heads weigh each class alike, whatever its number of images.
    """

    def __init__(
        self,
        data: ImageData,
        backbone: Backbone,
        settings: Settings,
        measurement: Measurement,
        features: Features,
        seed: int,
        say: Say,
        progress: Progress,
        small: tuple[ImageData, ResolvedConfig] | None,
        clock: Clock,
        weighted: bool = False,
    ) -> None:
        self.data, self.backbone, self.settings = data, backbone, settings
        self.measurement, self.features, self._seed = measurement, features, seed
        self.say, self.progress, self.clock = say, progress, clock
        self._small, self._weighted = small, weighted
        self._probes: dict[str, tuple[LinearProbe, Features]] = {}
        self._networks: dict[str, tuple[keras.Model, list[StageReport]]] = {}

    def __contains__(self, strategy: str) -> bool:
        return strategy in self._networks

    def network(self, strategy: str) -> tuple[keras.Model, list[StageReport]]:
        """The network of a strategy, built on first use, and the stage of its head."""
        if strategy not in self._networks:
            keras.utils.set_random_seed(self._seed)
            if strategy == "small":
                self._networks[strategy] = self._small_network(), []
            elif strategy == "scratch":
                network = self._classifier(pretrained=False, head=self.settings.head)
                start_from_data(network, self.data.sample())
                self._networks[strategy] = network, []
            else:
                self._networks[strategy] = self.with_head(self.backbone.top)
        return self._networks[strategy]

    @property
    def small(self) -> tuple[ImageData, ResolvedConfig]:
        """The images of the small network, and the configuration of its training.

        Raises:
            ConfigError: where they were not given.
        """
        if self._small is None:
            raise ConfigError(
                "plan small needs the images at its size: finetune(..., small_data=kerastricks.data.load(..., "
                "image_size=32))"
            )
        return self._small

    def _small_network(self) -> keras.Model:
        data, config = self.small
        scale = cosine_scale(config)
        classes = len(data.class_names)
        model = create(config.model, data.image_shape, classes, mean=data.mean, std=data.std, cosine_scale=scale)
        start_from_data(model, data.sample())
        check_fits(model, data)
        return model

    def _classifier(self, **how: Any) -> keras.Model:
        classes = len(self.data.class_names)
        return build_network(self.backbone, self.data.image_shape, classes, dropout=self.settings.dropout, **how)

    def with_head(self, level: str) -> tuple[keras.Model, list[StageReport]]:
        """The backbone up to a level, with a head that is fitted to its features."""
        keras.utils.set_random_seed(self._seed)
        began = self.clock()
        network = self._classifier(end=level, head=self.settings.head)
        probe, features = self._probed(level)
        layers = head_layers(network, self.backbone)
        accuracy, epochs = probe.accuracy.value, 0
        if not self.settings.head:
            set_linear_head(layers, probe)
        else:
            of = [(features.of(split, level), features.labels(split)) for split in ("train", "validation")]
            of_images = self._images_of(features).splits["train"].examples.weights
            of_classes = class_weights(self.data.class_counts()["train"]) if self._weighted else None
            epochs, accuracy = fit_head(
                layers, *of[0], *of[1], self.settings.dropout, of_classes, sample_weight=of_images
            )
        self.say(f"head on the features of {level}: validation accuracy {accuracy:.1%}")
        parameters = sum(layer.count_params() for layer in layers)
        return network, [StageReport("head", epochs, self.clock() - began, parameters, accuracy)]

    def _probed(self, level: str) -> tuple[LinearProbe, Features]:
        if level not in self._probes:
            features = self.features
            [probe] = [score.probe for score in self.measurement.levels if score.layer == level]
            # A budget holds no further pass over all images: the probe of those that were measured is the head.
            whole = {split: self.data.splits[split].size for split in self.measurement.images}
            partial = self.settings.seconds is None and self.measurement.images != whole
            if partial:
                self.say(f"features of {level} for all images, of which a part was measured")
                network = self._classifier()
                features = cached(network, (level,), self.data, ("train", "validation"), self.progress)
            if partial or self._weighted:
                of = [(features.of(split, level), features.labels(split)) for split in ("train", "validation")]
                examples = self._images_of(features).splits["train"].examples
                probe = linear_probe(
                    *of[0],
                    *of[1],
                    classes=len(self.data.class_names),
                    seed=self.data.seed,
                    class_weight="balanced" if self._weighted else None,
                    sample_weight=examples.weights,
                    groups=examples.groups,
                )
            self._probes[level] = probe, features
        return self._probes[level]

    def _images_of(self, features: Features) -> ImageData:
        """The images of features, which may be those of the measured part."""
        whole = len(features.labels("train")) == self.data.splits["train"].size
        return self.data if whole else sampled(self.data, self.measurement.images)

    def with_probe(self) -> keras.Model:
        """The linear classifier on the top features."""
        network = self._classifier()
        set_linear_head(head_layers(network, self.backbone), self.probe(self.backbone.top))
        return network

    def probe(self, level: str) -> LinearProbe:
        """The probe fitted to all training images and scored on all validation images."""
        return self._probed(level)[0]

"""The two axes of the table: how many images there are, and how much of what the backbone knows they need."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.data.progress import Progress, silent
from kerastricks.data.sources.source import Arrays
from kerastricks.features.caching import cached
from kerastricks.features.folder import Features
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.network import build_network
from kerastricks.finetuning.similarity import LayerScore, measure_layer, pixel_baseline
from kerastricks.probes.rows import stratified_sample

# More images change the estimates by less than their spread, and cost minutes.
MOST_IMAGES = {"train": 5_000, "validation": 2_000}
_PIXEL_IMAGES = 2_000
_TIMED_IMAGES, _FEWEST_PER_CLASS = 32, 10


@dataclass(frozen=True)
class Measurement:
    """What was measured before anything was trained.

    Args:
        images_per_class: of the training split, by class.
        levels: scores of the features of each level, from early to late.
        pixels: the same scores of the pixels themselves, made small.
        images: how many of each split were used.
        seconds: that it took, features included.
        forward: seconds of an image in a forward pass that is not traced; None where nothing was timed.
    """

    images_per_class: dict[str, int]
    levels: tuple[LayerScore, ...]
    pixels: LayerScore
    images: dict[str, int]
    seconds: float
    forward: float | None = None

    @property
    def median_images(self) -> float:
        """Training images of the class in the middle."""
        return float(np.median(list(self.images_per_class.values())))

    @property
    def top(self) -> LayerScore:
        """Of the features that a head stands on."""
        return self.levels[-1]

    @property
    def best_earlier(self) -> LayerScore:
        """The level before the last whose probe has the highest accuracy on validation; the later of equals."""
        earlier = self.levels[:-1] or self.levels
        return max(reversed(earlier), key=lambda score: score.probe.accuracy.value)

    @property
    def error_share(self) -> float:
        """The share of a pixel probe's errors on validation that the top features' probe does not make, in [0, 1].

        An easy data set has a high accuracy on any features: what counts is how much better the backbone's are.
        """
        pixels, top = self.pixels.probe.accuracy.value, self.top.probe.accuracy.value
        # Pixels may make no error at all: then there is nothing to take away.
        return max((top - pixels) / (1 - pixels + 1 / self.images["validation"]), 0.0)

    @property
    def log_loss_share(self) -> float:
        """The same of the log-loss: firmer where validation is small."""
        return max(1 - self.top.probe.log_loss / max(self.pixels.probe.log_loss, 1e-6), 0.0)

    @property
    def gain(self) -> float:
        """The smaller of the two shares: what the backbone brings to these images."""
        return min(self.error_share, self.log_loss_share)

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            "images_per_class": self.images_per_class,
            "images_used": self.images,
            "levels": [_score_json(score) for score in self.levels],
            "pixels": _score_json(self.pixels),
            "error_share": round(self.error_share, 4),
            "log_loss_share": round(self.log_loss_share, 4),
            "seconds": round(self.seconds, 1),
        }


def measure(
    data: ImageData,
    backbone: Backbone,
    progress: Progress = silent,
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    most: Mapping[str, int] | None = None,
) -> tuple[Measurement, Features]:
    """Runs the backbone once over training and validation images and fits probes to the features of each level.

    Features are kept in a cache: asking again costs the probes alone.

    Args:
        data: in the backbone's image size.
        backbone: frozen.
        progress: where it shows how far it is.
        seconds: that it should take at most, by a batch that is timed; fewer images are measured where it must be.
        clock: gives seconds.
        most: images of each split, where that was decided before; None to decide it.

    Returns:
        The measurement, and the features of all levels.
    """
    began = clock()
    counts = data.class_counts()["train"]
    classes = len(data.class_names)
    network = build_network(backbone, data.image_shape, classes)
    forward = None
    if seconds is not None:
        forward = _time_forward(network, data, clock)
        most = most or _images_in(seconds, forward, len(data.class_names))
    most = most or MOST_IMAGES
    evidence = seconds is None  # it decides nothing
    used = sampled(data, most)
    features = cached(network, backbone.layers, used, ("train", "validation"), progress)
    labels, others = features.labels("train"), features.labels("validation")
    scores = []
    with progress("probing", len(backbone.layers) + 1) as advance:
        for layer in backbone.layers:
            train, validation = features.of("train", layer), features.of("validation", layer)
            scores.append(measure_layer(layer, train, labels, validation, others, classes, data.seed, evidence))
            advance(1)
        some = *_some(used, "train"), *_some(used, "validation")
        pixels = pixel_baseline(*some, classes=classes, seed=data.seed, evidence=evidence)
        advance(1)
    return Measurement(
        images_per_class=dict(zip(data.class_names, counts, strict=True)),
        levels=tuple(scores),
        pixels=pixels,
        images={"train": len(labels), "validation": len(others)},
        seconds=clock() - began,
        forward=forward,
    ), features


def sampled(data: ImageData, most: Mapping[str, int]) -> ImageData:
    """The same with so many images of each split at most, each class in proportion, drawn by the seed."""
    for split, count in most.items():
        if data.splits[split].size > count:
            rows = max(count, len(data.class_names))
            data = data.taken(stratified_sample(data.labels(split), rows, data.seed), split)
    return data


def _time_forward(network: Any, data: ImageData, clock: Callable[[], float]) -> float:
    """Seconds of an image in the second of two forward passes, operation by operation."""
    images = next(iter(data.validation))[0][:_TIMED_IMAGES].numpy()
    network(images, training=False)
    before = clock()
    network(images, training=False)
    return max(clock() - before, 1e-6) / len(images)


def _images_in(seconds: float, forward: float, classes: int) -> dict[str, int]:
    """How many images of each split a forward pass takes in so many seconds, in the proportions of `MOST_IMAGES`."""
    share = seconds / forward / sum(MOST_IMAGES.values())
    return {
        split: min(max(round(share * most), _FEWEST_PER_CLASS * classes), most) for split, most in MOST_IMAGES.items()
    }


def _some(data: ImageData, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, fitted, and labels of a split, at most so many as the pixels' scores need."""
    few = data.limited(_PIXEL_IMAGES, split) if data.splits[split].size > _PIXEL_IMAGES else data
    batches = few.splits[split]
    if isinstance(batches.examples, Arrays):
        return batches.examples.images, batches.examples.labels
    images = np.concatenate([part.numpy() for part, _ in batches.each()])
    return images, batches.examples.labels


def _score_json(score: LayerScore) -> dict[str, Any]:
    def spread(estimate: Any) -> Any:
        return None if estimate is None else [round(v, 4) for v in (estimate.value, estimate.low, estimate.high)]

    return {
        "layer": score.layer,
        "features": score.dims,
        "probe_accuracy": spread(score.probe.accuracy),
        "probe_log_loss": round(score.probe.log_loss, 4),
        "centroid_accuracy": spread(score.centroid),
        "logme": spread(score.logme),
    }

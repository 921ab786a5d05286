"""Measurement of a data set for a backbone: images per class, and probes on each level's features and on the pixels."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.data.sources.source import Arrays
from kerastricks.errors import DataError
from kerastricks.features.caching import cached
from kerastricks.features.folder import Features
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.network import build_network
from kerastricks.metrics.bootstrap import Estimate
from kerastricks.probes.linear import LinearProbe, linear_probe
from kerastricks.probes.rows import feature_rows, stratified_sample
from kerastricks.probes.transferability import logme, nearest_centroid
from kerastricks.progress import Progress, silent

# More images change the estimates by less than their spread, and cost minutes.
MOST_IMAGES = {"train": 5_000, "validation": 2_000}
_PIXEL_IMAGES, _IMAGES_AT_ONCE = 2_000, 256
_TIMED_IMAGES, _FEWEST_PER_CLASS = 32, 10


@dataclass(frozen=True, eq=False)
class LayerScore:
    """Scores of the features of one layer.

    Args:
        layer: its name.
        dims: features per image.
        probe: the linear probe, with its accuracy on validation.
        centroid: accuracy of the nearest class mean on validation.
        logme: evidence of the training labels; None where it was not asked for, or with less than two training images
            per class.
    """

    layer: str
    dims: int
    probe: LinearProbe
    centroid: Estimate
    logme: Estimate | None


def measure_layer(
    name: str,
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    classes: int,
    seed: int = 0,
    evidence: bool = True,
    sample_weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> LayerScore:
    """Computes probe, nearest class means and LogME of one layer's features.

    Args:
        name: of the layer; errors name it.
        features: (N, D) of the training images.
        labels: (N,) integers.
        validation_features: (M, D).
        validation_labels: (M,) integers.
        classes: how many there are.
        seed: of everything random.
        evidence: whether LogME is computed, which costs as much as the probe.
        sample_weight: (N,) of the training images in the loss of the probe; see `linear_probe`.
        groups: (N,) of the training images; see `linear_probe`.

    Returns:
        A `LayerScore`.

    Raises:
        DataError: for features that are not finite or (N, D), labels out of range, or a single class.
    """
    features, labels = feature_rows(features, labels, classes, f"features of layer {name!r}")
    others, other_labels = feature_rows(
        validation_features, validation_labels, classes, f"validation features of layer {name!r}"
    )
    few = len(labels) < 2 * len(np.unique(labels))
    return LayerScore(
        layer=name,
        dims=features.shape[1],
        probe=linear_probe(
            features, labels, others, other_labels, classes, seed, sample_weight=sample_weight, groups=groups
        ),
        centroid=nearest_centroid(features, labels, others, other_labels, classes, seed),
        logme=None if few or not evidence else logme(features, labels, classes, seed),
    )


def pixel_baseline(
    images: np.ndarray,
    labels: np.ndarray,
    validation_images: np.ndarray,
    validation_labels: np.ndarray,
    classes: int,
    side_px: int = 16,
    seed: int = 0,
    evidence: bool = True,
) -> LayerScore:
    """Scores the pixels of small copies as features: how well the classes separate without a network.

    Args:
        images: (N, height, width, channels) uint8, of training.
        labels: (N,) integers.
        validation_images: (M, height, width, channels) uint8.
        validation_labels: (M,) integers.
        classes: how many there are.
        side_px: height and width of the copies at most, each pixel the mean of the area it covers.
        seed: of everything random.
        evidence: whether LogME is computed.

    Returns:
        A `LayerScore` of the layer "pixels".

    Raises:
        DataError: for images of another shape, labels out of range, or a single class.
    """
    small, others = _small(images, side_px), _small(validation_images, side_px)
    return measure_layer("pixels", small, labels, others, validation_labels, classes, seed, evidence)


def _small(images: np.ndarray, side_px: int) -> np.ndarray:
    """(N, pixels) in [0, 1], resized by area."""
    if images.ndim != 4:
        raise DataError(f"images must be (N, height, width, channels). Received: shape {images.shape}")
    rows, columns = (_area_mean(side, min(side, side_px)) for side in images.shape[1:3])
    parts = [
        np.einsum("ih,nhwc,jw->nijc", rows, images[i : i + _IMAGES_AT_ONCE].astype("float32"), columns, optimize=True)
        for i in range(0, len(images), _IMAGES_AT_ONCE)
    ]
    return np.concatenate(parts).reshape(len(images), -1) / np.float32(255)


def _area_mean(before: int, after: int) -> np.ndarray:
    """Weights (after, before) of area resizing: how much each pixel of the copy covers those of the image."""
    edges = np.arange(after + 1) * (before / after)
    starts = np.arange(before)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return (np.maximum(overlap, 0.0) * (after / before)).astype("float32")


@dataclass(frozen=True)
class Measurement:
    """Measurement of a data set before training.

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
        """Median number of training images per class."""
        return float(np.median(list(self.images_per_class.values())))

    @property
    def top(self) -> LayerScore:
        """Scores of the features that the head uses."""
        return self.levels[-1]

    @property
    def best_earlier(self) -> LayerScore:
        """The level before the last whose probe has the highest accuracy on validation; the later of equals."""
        earlier = self.levels[:-1] or self.levels
        return max(reversed(earlier), key=lambda score: score.probe.accuracy.value)

    @property
    def error_share(self) -> float:
        """The share of the pixel probe's validation errors that the top features' probe avoids, in [0, 1].

        An easy data set has a high accuracy on any features: what counts is how much better the backbone's are.
        """
        pixels, top = self.pixels.probe.accuracy.value, self.top.probe.accuracy.value
        # Pixels may make no error at all: then there is nothing to take away.
        return max((top - pixels) / (1 - pixels + 1 / self.images["validation"]), 0.0)

    @property
    def log_loss_share(self) -> float:
        """The share of the pixel probe's log-loss that the top features remove: less noisy for few images."""
        return max(1 - self.top.probe.log_loss / max(self.pixels.probe.log_loss, 1e-6), 0.0)

    @property
    def gain(self) -> float:
        """The smaller of the two shares: the backbone's benefit for these images."""
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

    Features are kept in a cache: asking again costs only the probes.

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
    examples = used.splits["train"].examples
    scores = []
    with progress("probing", len(backbone.layers) + 1) as advance:
        for layer in backbone.layers:
            train, validation = features.of("train", layer), features.of("validation", layer)
            scores.append(
                measure_layer(
                    layer,
                    train,
                    labels,
                    validation,
                    others,
                    classes,
                    data.seed,
                    evidence,
                    examples.weights,
                    examples.groups,
                )
            )
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
    """Takes at most so many images of each split, each class in proportion, drawn by the seed."""
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
    """Number of images of each split that fit the seconds, in the proportions of `MOST_IMAGES`."""
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

"""How much of what a layer knows the labels need, beside what the pixels alone would do."""

from dataclasses import dataclass

import numpy as np

from kerastricks.errors import DataError
from kerastricks.finetuning.feature_rows import feature_rows
from kerastricks.finetuning.nearest_centroid import nearest_centroid
from kerastricks.metrics.bootstrap import Estimate
from kerastricks.probes.linear import LinearProbe, linear_probe
from kerastricks.probes.transferability import logme

_IMAGES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class LayerScore:
    """What the features of one layer are worth.

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
) -> LayerScore:
    """Probe, nearest class means and LogME of one layer's features.

    Args:
        name: of the layer; errors name it.
        features: (N, D) of the training images.
        labels: (N,) integers.
        validation_features: (M, D).
        validation_labels: (M,) integers.
        classes: how many there are.
        seed: of everything random.
        evidence: whether LogME is computed, which costs as much as the probe.

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
        probe=linear_probe(features, labels, others, other_labels, classes, seed),
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
    """The same measures on the pixels of small copies: how far the classes part with no knowledge at all.

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
    """(after, before) weights with which a pixel of the copy covers those of the image."""
    edges = np.arange(after + 1) * (before / after)
    starts = np.arange(before)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return (np.maximum(overlap, 0.0) * (after / before)).astype("float32")

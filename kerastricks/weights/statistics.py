"""The mean and standard deviation that belong to weights."""

from typing import Any

import keras
import numpy as np

from kerastricks.errors import WeightsError
from kerastricks.weights.catalog import PRETRAINED
from kerastricks.weights.files import Found
from kerastricks.weights.loading import read_model

# Scales pixels to [-1, 1].
DEFAULT = 127.5


def statistics_for(found: Found | None, model: str, channels: int, mean: Any, std: Any) -> tuple[Any, Any]:
    """The mean and standard deviation that a model normalises with.

    Args:
        found: the weights it gets, or None.
        model: its name in the zoo.
        channels: of the images it gets.
        mean: what the caller asked for; None for that of the weights.
        std: the same.

    Returns:
        (mean, std): those of the weights; where these do not tell, what was asked for, or else 127.5.

    Raises:
        WeightsError: for others than those of the weights, or images with other channels.
    """
    theirs = _of(found, model) if found is not None else None
    if theirs is None:
        return DEFAULT if mean is None else mean, DEFAULT if std is None else std
    if np.size(theirs[0]) != channels:
        raise WeightsError(
            f"the weights are for images of {np.size(theirs[0])} channels: load them so. Received: {channels} channels"
        )
    for name, asked, known in (("mean", mean, theirs[0]), ("std", std, theirs[1])):
        if asked is not None and not _equal(asked, known):
            raise WeightsError(
                f"{name} must be that of the weights, {np.round(known, 3).tolist()}: another one costs about "
                f"ten points of accuracy; leave mean and std out. Received: {name}={np.round(asked, 3).tolist()}"
            )
    return theirs


def _of(found: Found, model: str) -> tuple[Any, Any] | None:
    if found.kind == "model":
        layers = [layer for layer in read_model(found.path).layers if isinstance(layer, keras.layers.Normalization)]
        if len(layers) != 1:
            raise WeightsError(
                f"{found.path}: has {len(layers)} Normalization layers and must have one, as the zoo's models"
            )
        mean, variance = (keras.ops.convert_to_numpy(x).ravel() for x in (layers[0].mean, layers[0].variance))
        return mean, np.sqrt(variance)
    known = found.pretrained
    if known is None and found.kind == "torch":
        known = next((entry for entry in PRETRAINED.values() if entry.model == model), None)
    return (np.full(3, known.mean), np.full(3, known.std)) if known is not None else None


def _equal(asked: Any, known: Any) -> bool:
    try:
        return bool(np.allclose(np.asarray(asked, "float64"), np.asarray(known, "float64"), rtol=1e-5))
    except (TypeError, ValueError):
        return False

"""Scores of a network on validation, and balanced accuracy in the logs of a training."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastricks.data.image_data import ImageData

BALANCED = "val_balanced_accuracy"


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores on validation.

    Args:
        accuracy: share of the images that are right.
        balanced_accuracy: mean recall of the classes with an image.
        loss: log-loss in nats.
        correct: (V,) whether each image is right.
    """

    accuracy: float
    balanced_accuracy: float
    loss: float
    correct: np.ndarray


def scored(network: keras.Model, data: ImageData) -> Scores:
    """Scores a network that gives probabilities on the validation images."""
    probabilities, labels = _predictions(network, data), data.labels("validation")
    correct = probabilities.argmax(axis=1) == labels
    chosen = np.take_along_axis(probabilities, labels[:, None], axis=1)
    loss = float(-np.mean(np.log(np.maximum(chosen, 1e-12))))
    return Scores(float(np.mean(correct)), balanced_accuracy(correct, labels), loss, correct)


def balanced_accuracy(correct: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall of the classes with an image.

    Args:
        correct: (N,) whether each image is right.
        labels: (N,) integers.
    """
    images = np.bincount(labels)
    return float((np.bincount(labels, correct)[images > 0] / images[images > 0]).mean())


class BalancedValidation(keras.callbacks.Callback):
    """Adds `val_balanced_accuracy` to the logs of an epoch, for the callbacks after it, where the training has it not.

    Args:
        data: whose validation images are predicted once more.
    """

    is_saved = False  # nothing in it is a state

    def __init__(self, data: ImageData) -> None:
        super().__init__()
        self._data = data

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None and BALANCED not in logs:
            labels = self._data.labels("validation")
            correct = _predictions(self.model, self._data).argmax(axis=1) == labels
            logs[BALANCED] = balanced_accuracy(correct, labels)


def _predictions(model: keras.Model, data: ImageData) -> np.ndarray:
    with data.one_error():
        return np.concatenate([np.asarray(model.predict_on_batch(images.numpy())) for images, _ in data.validation])

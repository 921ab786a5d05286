"""Scores of a network on validation: accuracy, balanced accuracy, log-loss."""

from dataclasses import dataclass

import keras
import numpy as np

from kerastricks.data.image_data import ImageData

BALANCED = "val_balanced_accuracy"  # in the logs of a training


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


def _predictions(model: keras.Model, data: ImageData) -> np.ndarray:
    with data.one_error():
        return np.concatenate([np.asarray(model.predict_on_batch(images.numpy())) for images, _ in data.validation])

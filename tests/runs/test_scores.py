"""Scores against their definitions in NumPy."""

import numpy as np
import pytest

from kerastricks.runs.scores import scores

pytestmark = pytest.mark.tensorflow_only


def test_scores_are_those_of_the_definitions():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    probabilities = generator.dirichlet([1, 1, 1], 200).astype("float32")
    found = scores(labels, probabilities, ["a", "b", "c"])
    predicted = probabilities.argmax(axis=1)
    recall = [np.mean(predicted[labels == k] == k) for k in range(3)]
    assert found["accuracy"] == pytest.approx(np.mean(predicted == labels))
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recall))
    assert found["log_loss"] == pytest.approx(-np.mean(np.log(probabilities[np.arange(200), labels])), rel=1e-5)
    assert list(found["recall"].values()) == pytest.approx(recall)
    assert np.array(found["confusion_matrix"])[1, 2] == np.sum((labels == 1) & (predicted == 2))


def test_a_class_without_images_does_not_count():
    found = scores(np.array([0, 0, 1]), np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.1, 0.9, 0]]), ["a", "b", "c"])
    assert found["recall"] == {"a": 0.5, "b": 1.0, "c": None}
    assert found["balanced_accuracy"] == 0.75

"""The nearest class mean against a loop."""

import numpy as np
import pytest

from kerastricks.errors import DataError
from kerastricks.probes.transferability import nearest_centroid

pytestmark = pytest.mark.tensorflow_only


def test_accuracy_is_that_of_a_loop_over_angles():
    generator = np.random.default_rng(0)
    features, others = generator.normal(0.5, 1, (2, 80, 4))
    labels, other_labels = generator.integers(0, 5, (2, 80))
    labels[labels == 3] = 2  # a class without training images
    right = 0
    for row, label in zip(others, other_labels, strict=True):
        angles = {}
        for candidate in (0, 1, 2, 4):
            mean = np.mean([f / np.linalg.norm(f) for f in features[labels == candidate]], axis=0)
            angles[candidate] = np.arccos(row @ mean / np.linalg.norm(row) / np.linalg.norm(mean))
        right += min(angles, key=angles.get) == label
    assert nearest_centroid(features, labels, others, other_labels, 5).value == pytest.approx(right / 80)


def test_length_does_not_count():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = np.eye(3)[labels] + generator.normal(0, 0.5, (60, 3))
    longer = features * generator.uniform(0.01, 100, (60, 1))
    assert nearest_centroid(longer, labels, longer, labels, 3) == nearest_centroid(
        features, labels, features, labels, 3
    )


def test_features_of_zero_are_taken():
    features = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert nearest_centroid(features, np.array([0, 0, 1]), features, np.array([0, 0, 1]), 2).value == 1


def test_bad_input():
    with pytest.raises(DataError, match="must be finite"):
        nearest_centroid(np.full((4, 2), np.inf), np.arange(4) % 2, np.ones((1, 2)), np.zeros(1, int), 2)

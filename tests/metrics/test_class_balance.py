"""Balance of classes: ratio, effective numbers, and accuracy by training images, from their definitions."""

import numpy as np
import pytest

from kerastricks.errors import ConfigError
from kerastricks.metrics import (
    effective_classes,
    effective_number,
    imbalance_ratio,
    scores,
    shot_accuracy,
    shot_classes,
)

pytestmark = pytest.mark.tensorflow_only


def test_the_effective_number_is_the_expected_volume_of_the_paper():
    beta, counts = 0.9, [0, 1, 2, 5, 50]
    found = effective_number(counts, beta)
    volume = [0.0]
    for _ in range(50):
        volume.append(1 + beta * volume[-1])  # the induction of the paper's proof
    np.testing.assert_allclose(found, [volume[n] for n in counts], rtol=1e-12)
    np.testing.assert_allclose(effective_number(counts, 0.0), np.minimum(counts, 1))


def test_equal_classes_count_in_full_and_an_empty_one_not_at_all():
    assert effective_classes([7, 7, 7]) == pytest.approx(3)
    assert effective_classes([7, 7, 0]) == pytest.approx(2)
    shares = np.array([5000, 50]) / 5050
    assert effective_classes([5000, 50]) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))
    assert imbalance_ratio([5000, 50]) == 100
    assert imbalance_ratio([5000, 0]) == float("inf")


def test_the_ends_of_medium_shot_are_20_and_100_images():
    assert shot_classes([101, 100, 20, 19, 0]) == {"many": [0], "medium": [1, 2], "few": [3, 4]}
    assert shot_classes([5, 4, 3], many=4, few=4) == {"many": [0], "medium": [1], "few": [2]}


def test_shots_are_the_mean_recall_of_their_classes():
    labels = np.array([0, 0, 1, 1, 2, 3, 3, 3])
    predicted = np.array([0, 1, 1, 1, 0, 3, 0, 0])
    found = scores(labels, np.eye(5)[predicted], list("abcde"), [500, 200, 50, 5, 1])
    assert found["shots"] == {"many": (0.5 + 1) / 2, "medium": 0.0, "few": pytest.approx(1 / 3)}  # e has no image
    assert scores(labels, np.eye(5)[predicted], list("abcde"), [500] * 5)["shots"]["few"] is None
    assert "shots" not in scores(labels, np.eye(5)[predicted], list("abcde"))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: effective_number([1, 2], 1.0), r"beta must be in \[0, 1\).*beta=1.0"),
        (lambda: effective_number([]), "counts must be one number"),
        (lambda: imbalance_ratio([3, -1]), "counts must be one number"),
        (lambda: shot_accuracy([0.5], [1, 2]), "training_counts must be one number per class, 1 here. Received: 2"),
        (lambda: shot_classes([1], many=5, few=7), "few must be at most many"),
    ],
)
def test_what_cannot_be_counted_is_refused(call, named):
    with pytest.raises(ConfigError, match=named):
        call()

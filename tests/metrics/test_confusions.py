"""Confused pairs against loops, and orders with confused classes as neighbours."""

import numpy as np
import pytest

from kerastricks.metrics import confused_pairs, confusion_matrix, confusion_order
from kerastricks.metrics.confusions import confusion_entries, most_confused_classes

pytestmark = pytest.mark.tensorflow_only

DENSE = {"confusion_matrix": [[5, 0, 2], [1, 3, 0], [2, 0, 8]]}
SPARSE = {
    "confusion_matrix": {
        "shape": [3, 3],
        "rows": [0, 0, 1, 1, 2, 2],
        "columns": [0, 2, 0, 1, 0, 2],
        "counts": [5, 2, 1, 3, 2, 8],
    }
}


@pytest.mark.parametrize("found", [DENSE, SPARSE])
def test_pairs_are_ordered_by_images_then_by_share(found):
    pairs = [(one.true, one.predicted, one.images, round(one.share, 3)) for one in confused_pairs(found)]
    assert pairs == [(0, 2, 2, 0.286), (2, 0, 2, 0.2), (1, 0, 1, 0.25)]
    assert [one.true for one in confused_pairs(found, 1)] == [0]


def test_entries_are_those_of_the_matrix():
    rows, columns, counts = confusion_entries(DENSE)
    matrix = np.zeros((3, 3), int)
    matrix[rows, columns] = counts
    assert matrix.tolist() == confusion_matrix(SPARSE).tolist()


def test_nothing_confused_is_no_pair():
    assert confused_pairs({"confusion_matrix": [[3, 0], [0, 2]]}) == []
    assert confused_pairs({"confusion_matrix": []}) == []


def test_groups_that_are_confused_stand_together():
    """Twelve classes in three groups, shuffled: the order finds the groups."""
    draw = np.random.default_rng(0)
    groups = draw.permutation(np.repeat([0, 1, 2], 4))
    matrix = draw.integers(1, 9, (12, 12)) * (groups[:, None] == groups) + 50 * np.eye(12, dtype=int)
    found = groups[confusion_order(matrix)]
    assert (np.diff(found) != 0).sum() == 2


def test_the_order_is_a_permutation_and_that_given_where_nothing_is_confused():
    assert confusion_order(np.eye(5, dtype=int)) == [0, 1, 2, 3, 4]
    assert confusion_order(np.array([[1, 4], [2, 3]])) == [0, 1]
    assert sorted(confusion_order(np.ones((7, 7)))) == list(range(7))
    assert confusion_order(np.zeros((0, 0))) == []


def test_most_confused_classes_are_those_of_the_first_pairs():
    pairs = confused_pairs({"confusion_matrix": [[9, 0, 0, 1], [0, 9, 5, 0], [0, 0, 9, 0], [0, 0, 0, 9]]})
    assert most_confused_classes(pairs, 4, 2) == [1, 2]
    assert most_confused_classes(pairs, 4, 4) == [0, 1, 2, 3]
    assert most_confused_classes([], 9, 3) == [0, 1, 2]

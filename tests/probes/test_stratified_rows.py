"""Samples and folds that keep every class."""

import numpy as np
import pytest

from kerastricks.probes.rows import stratified_folds, stratified_sample

pytestmark = pytest.mark.tensorflow_only
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 2, 3, 7], [500, 300, 30, 1]))


def test_a_sample_keeps_the_shares_and_the_rare():
    found = stratified_sample(LABELS, 200, seed=3)
    assert len(np.unique(found)) == 200
    counts = dict(zip(*np.unique(LABELS[found], return_counts=True), strict=True))
    for label, size in zip(*np.unique(LABELS, return_counts=True), strict=True):
        assert abs(counts[label] - max(200 * size / len(LABELS), 1)) <= 1


def test_every_row_of_a_class_is_equally_likely():
    labels = np.repeat([0, 1], [20, 20])
    drawn = np.zeros(40)
    for seed in range(1000):
        drawn[stratified_sample(labels, 10, seed)] += 1
    assert np.abs(drawn / 1000 - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 1000)


def test_a_sample_of_all_is_all():
    np.testing.assert_array_equal(stratified_sample(LABELS, 10_000), np.arange(len(LABELS)))


def test_too_few_rows_for_the_classes():
    with pytest.raises(ValueError, match=r"number of classes, 4\. Received: rows=3"):
        stratified_sample(LABELS, 3)


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_share_each_class_and_leave_each_class_behind(folds):
    found = stratified_folds(LABELS, folds, seed=1)
    assert (found[LABELS == 7] == -1).all()
    for label in (0, 2, 3):
        sizes = np.bincount(found[label == LABELS], minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    for number in range(folds):
        assert set(LABELS[found != number]) == set(LABELS)


def test_folds_share_no_group_and_classes_of_one_group_are_in_none():
    labels = np.array([0, 1] * 40 + [2] * 5)
    groups = np.array([f"g{number // 4}" for number in range(80)] + ["alone"] * 5, object)
    fold = stratified_folds(labels, 4, groups=groups)
    assert set(fold[80:]) == {-1}
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    counts = np.array([np.bincount(labels[fold == number], minlength=2)[:2] for number in range(4)])
    assert counts.min() >= 8

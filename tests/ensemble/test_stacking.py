"""Stacking against the gradient of its objective, and by what it can learn."""

import numpy as np
import pytest
from scipy import special
from synthetic_members import synthetic_members

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.stacking import fit_stacking, held_out_folds, pool_regression
from kerastricks.errors import EnsembleError
from kerastricks.metrics.calibration import log_losses

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]


@pytest.mark.parametrize("c", [1e-4, 0.01, 10.0])
def test_the_gradient_of_the_objective_is_zero(c):
    generator = np.random.default_rng(0)
    columns, labels = generator.normal(1, 2, (200, 6)), generator.integers(0, 3, 200)
    centre = generator.normal(0, 0.3, (7, 3))
    found = pool_regression(columns, np.eye(3)[labels], centre, c, tolerance=1e-9)
    gradient = found - centre
    for x, label in zip(np.hstack([columns, np.ones((200, 1))]), labels, strict=True):
        gradient += c * np.outer(x, special.softmax(x @ found) - np.eye(3)[label])
    assert np.abs(gradient).max() < 1e-5 * max(1.0, 200 * c)


def test_where_it_starts_does_not_matter():
    rows, labels = synthetic_members(2, 150, 3)
    columns = np.hstack(list(rows))
    centre = np.zeros((7, 3))
    far = np.random.default_rng(0).normal(0, 1, (7, 3))
    once = pool_regression(columns, np.eye(3)[labels], centre, 0.5, tolerance=1e-8)
    np.testing.assert_allclose(
        once, pool_regression(columns, np.eye(3)[labels], centre, 0.5, far, tolerance=1e-8), atol=1e-5
    )


def test_a_mistake_made_again_and_again_is_undone():
    """Both members take class 0 for class 1 and the other way round: no weights can mend that."""
    rows, labels = synthetic_members(2, 1_000, 4)
    swapped = rows[:, :, [1, 0, 2, 3]]
    stacking = fit_stacking(swapped[:, :600], labels[:600])
    stacked = stacking.combination.apply(swapped[:, 600:])
    right = Combination("geometric").apply(rows[:, 600:])
    assert log_losses(stacked, labels[600:]).mean() < log_losses(right, labels[600:]).mean() + 0.03
    assert (
        log_losses(stacking.out_of_fold, labels[:600]).mean()
        < 0.5 * log_losses(Combination("mean").apply(swapped[:, :600]), labels[:600]).mean()
    )


def test_with_few_images_it_is_near_the_geometric_mean():
    rows, labels = synthetic_members(5, 4_030, 10)
    stacked = fit_stacking(rows[:, :30], labels[:30]).combination.apply(rows[:, 30:])
    geometric = Combination("geometric").apply(rows[:, 30:])
    assert log_losses(stacked, labels[30:]).mean() < 1.15 * log_losses(geometric, labels[30:]).mean()


def test_out_of_fold_means_that_nobody_saw_its_own_label():
    """Labels that are noise: predictions that had seen them would beat the uniform distribution by far."""
    generator = np.random.default_rng(0)
    rows, labels = generator.normal(0, 2, (6, 200, 4)), generator.integers(0, 4, 200)
    losses = log_losses(fit_stacking(rows, labels).out_of_fold, labels)
    # The best temperature makes the centre nearly uniform, so the loss is log 4 up to its own error.
    assert losses.mean() > np.log(4) - 4 * max(losses.std(), 0.01) / np.sqrt(200)


def test_a_class_without_images_is_possible_and_unlikely():
    rows, labels = synthetic_members(3, 300, 4)
    kept = labels != 3
    combination = fit_stacking(rows[:, kept], labels[kept]).combination
    mean = combination.apply(rows[:, kept]).mean(axis=0)
    assert 0 < mean[3] < 0.1


@pytest.mark.parametrize(("labels", "received"), [([0, 1, 0], "3 of 2 classes"), ([1, 1, 1, 1, 1], "5 of 1 classes")])
def test_too_little_to_fit_is_refused(labels, received):
    with pytest.raises(EnsembleError, match=received):
        fit_stacking(np.zeros((2, len(labels), 2)), np.array(labels))


def test_one_image_of_a_class_is_enough_to_run():
    rows, _ = synthetic_members(2, 5, 3)
    stacking = fit_stacking(rows, np.array([0, 0, 0, 0, 1]))
    np.testing.assert_allclose(stacking.out_of_fold.sum(axis=1), 1, atol=1e-9)


def test_a_group_is_held_out_as_a_whole():
    labels = np.arange(60) % 2
    groups = np.array([f"g{number // 6}" for number in range(60)], object)
    fold = held_out_folds(labels, groups=groups)
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    assert len(set(fold)) == 5
    # Noise that all images of a group share cannot be learned from the others.
    generator = np.random.default_rng(0)
    members = np.repeat(generator.normal(size=(1, 10, 2)), 6, axis=1)
    assert not np.array_equal(
        fit_stacking(members, labels).out_of_fold, fit_stacking(members, labels, groups=groups).out_of_fold
    )
    with pytest.raises(EnsembleError, match="two groups or more"):
        held_out_folds(labels, groups=np.full(60, "one", object))

"""Remedies on logits and head weights against references written from the papers, and against brute force."""

import numpy as np
import pytest

from kerastricks.errors import DataError, UnknownNameError
from kerastricks.imbalance import adjust_logits, class_score, tau_normalize, tune_offsets
from kerastricks.imbalance.post_hoc import METRICS, _best_offset

pytestmark = pytest.mark.tensorflow_only

COUNTS = [80, 15, 5]


def made(images=60, classes=3, seed=0):
    """Log-probabilities of a classifier that is biased towards the first class, and labels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    logits = generator.normal(0, 1, (images, classes)) + 1.5 * np.eye(classes)[labels]
    logits[:, 0] += 2
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), labels


def reference_score(metric, labels, predicted, classes):
    """Mean over the classes with an image, class by class."""
    if metric == "accuracy":
        return np.mean(labels == predicted)
    found = []
    for k in range(classes):
        true, named = labels == k, predicted == k
        if not true.any():
            continue
        recall = (true & named).sum() / true.sum()
        precision = (true & named).sum() / named.sum() if named.any() else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        found.append(recall if metric == "balanced_accuracy" else f1)
    return np.mean(found)


def test_logit_adjustment_is_equation_9():
    """argmax f_y(x) - tau log pi_y: with tau = 1, of p(y | x) / pi_y."""
    log_probabilities, _ = made()
    prior = np.array(COUNTS) / 100
    expected = np.exp(log_probabilities) / prior**1.5
    np.testing.assert_allclose(np.exp(adjust_logits(log_probabilities, COUNTS, 1.5)), expected)
    np.testing.assert_array_equal(adjust_logits(log_probabilities, COUNTS, 0.0), log_probabilities)


@pytest.mark.parametrize("counts", [[3, 0], [3, -1], [], [[1, 2]], [3, np.nan]])
def test_a_class_without_an_image_has_no_prior(counts):
    with pytest.raises(DataError, match="each above 0: leave out classes without one"):
        adjust_logits(np.zeros((1, 2)), counts)


def test_tau_normalisation_is_equation_4_up_to_one_factor():
    kernel = np.random.default_rng(0).normal(size=(5, 3)) * [1, 2, 4]
    expected = np.stack([kernel[:, k] / np.linalg.norm(kernel[:, k]) ** 0.7 for k in range(3)], axis=1)
    factors = tau_normalize(kernel, 0.7) / expected
    # The factor, which changes no prediction, keeps the logits as large as they were.
    norms = np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose(factors, np.exp(np.log(norms).mean()) ** 0.7)
    np.testing.assert_allclose(tau_normalize(kernel, 0.0), kernel)
    with pytest.raises(DataError, match="class 1: its weights in the last layer are all zero"):
        tau_normalize(np.array([[1.0, 0.0]]))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_their_definitions(metric):
    log_probabilities, labels = made(classes=5)
    labels = np.minimum(labels, 3)  # the last class has no image, and is predicted
    predicted = log_probabilities.argmax(axis=1)
    assert class_score(metric, labels, predicted, 5) == pytest.approx(reference_score(metric, labels, predicted, 5))
    with pytest.raises(UnknownNameError, match="did you mean macro_f1"):
        class_score("macro_f2", labels, predicted, 5)


@pytest.mark.parametrize("metric", METRICS)
def test_a_step_finds_the_optimum_of_a_grid(metric):
    log_probabilities, labels = made(classes=5, seed=3)
    labels = np.minimum(labels, 3)
    offsets = np.array([0.1, 0.0, -0.2, 0.3, 0.0])
    for index in range(5):
        value, score = _best_offset(log_probabilities, labels, metric, offsets, index)
        tried = []
        for other in np.linspace(-6, 6, 241):
            moved = offsets.copy()
            moved[index] = other
            tried.append(reference_score(metric, labels, (log_probabilities + moved).argmax(axis=1), 5))
        moved[index] = value
        there = reference_score(metric, labels, (log_probabilities + moved).argmax(axis=1), 5)
        assert score == pytest.approx(there)
        assert score >= max(tried) - 1e-12


@pytest.mark.parametrize("metric", METRICS)
def test_offsets_never_score_below_their_start(metric):
    log_probabilities, labels = made()
    start = np.array([-1.0, 0.5, 0.0])
    offsets = tune_offsets(log_probabilities, labels, metric, start)
    before, after = (
        class_score(metric, labels, (log_probabilities + given).argmax(axis=1), 3) for given in (start, offsets)
    )
    assert after >= before
    np.testing.assert_array_equal(tune_offsets(log_probabilities, labels, metric, offsets), offsets)


def test_equal_breakpoints_move_together():
    """Two images that look the same, of two classes: no threshold tells them apart."""
    log_probabilities = np.log(np.array([[0.6, 0.4]] * 2 + [[0.9, 0.1]]))
    labels = np.array([1, 0, 0])
    offsets = tune_offsets(log_probabilities, labels)
    predicted = (log_probabilities + offsets).argmax(axis=1)
    assert predicted[0] == predicted[1]
    assert class_score("balanced_accuracy", labels, predicted, 2) == 0.75

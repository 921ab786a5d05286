"""Remedies are compared by images that did not fit them, and the simplest that is as good wins."""

import numpy as np
import pytest

from kerastricks.errors import DataError, UnknownNameError
from kerastricks.imbalance import choose_remedy, class_score, find_remedies, tune_offsets
from kerastricks.imbalance.post_hoc_choice import LOGIT_TAUS, METHODS, paired_gain

pytestmark = pytest.mark.tensorflow_only

COUNTS = np.array([1000, 100, 10])


def made(images, seed=0, prior=COUNTS, signal=2.0):
    """Log-probabilities of the Bayes classifier under the training prior, of images of which each class has as many."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % 3
    features = generator.normal(0, 1, (images, 3)) + signal * np.eye(3)[labels]
    logits = signal * features + np.log(prior / prior.sum())
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), labels, features


def test_logit_adjustment_recovers_the_prior_of_a_bayes_classifier():
    log_probabilities, labels, _ = made(6000)
    unchanged, adjusted = find_remedies(log_probabilities, labels, COUNTS, methods=["logit_adjustment"])
    assert (unchanged.method, unchanged.gain.value) == ("unchanged", 0.0)
    assert adjusted.tau == pytest.approx(1.0, abs=0.2)
    assert adjusted.gain.low > 0.1
    chosen = choose_remedy([unchanged, adjusted], labels)
    assert chosen is adjusted
    predicted = (log_probabilities + chosen.offsets).argmax(axis=1)
    assert chosen.validation == class_score("balanced_accuracy", labels, predicted, 3)


def test_tau_and_offsets_are_chosen_by_the_other_folds():
    """Labels without any signal: what is fitted to them gains on them, and nothing in cross-fitting."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    log_probabilities = np.log(generator.dirichlet(np.ones(3), 60))
    found = {one.method: one for one in find_remedies(log_probabilities, labels, [1, 1, 1])}
    tuned = tune_offsets(log_probabilities, labels)
    fitted = class_score("balanced_accuracy", labels, (log_probabilities + tuned).argmax(axis=1), 3)
    assert fitted > found["unchanged"].validation + 0.04
    assert found["thresholds"].cross_fitted < fitted
    assert choose_remedy(list(found.values()), labels).method == "unchanged"


def test_the_simplest_that_is_as_good_is_chosen():
    log_probabilities, labels, features = made(600)
    kernel = 2.0 * np.eye(3)
    remedies = find_remedies(
        log_probabilities, labels, COUNTS, kernel=kernel, features=features, retrained=features + np.array([0, 0.05, 0])
    )
    assert [one.method for one in remedies] == list(METHODS)
    assert choose_remedy(remedies, labels).method == "logit_adjustment"
    assert choose_remedy(remedies, labels, asked="tau_norm").method == "tau_norm"
    assert choose_remedy(remedies[::-1], labels).method == "logit_adjustment"
    with pytest.raises(UnknownNameError, match="no method is called 'retrained'"):
        choose_remedy(remedies, labels, asked="retrained")


def test_offsets_that_gain_nothing_over_tau_give_way_to_it():
    log_probabilities, labels, _ = made(90)
    remedies = find_remedies(log_probabilities, labels, COUNTS)
    tuned, adjusted = remedies[2], remedies[1]
    assert (tuned.method, adjusted.method) == ("thresholds", "logit_adjustment")
    assert tuned.cross_fitted <= adjusted.cross_fitted
    assert choose_remedy(remedies, labels, asked="thresholds") is adjusted


def test_offsets_win_where_no_tau_is_right():
    """A shift of one class that its images do not explain."""
    log_probabilities, labels, _ = made(600, prior=np.array([1.0, 8.0, 1.0]))
    remedies = find_remedies(log_probabilities, labels, [10, 10, 10])
    chosen = choose_remedy(remedies, labels)
    assert chosen.method == "thresholds"
    assert chosen.offsets[1] - chosen.offsets[0] == pytest.approx(-np.log(8), abs=0.7)


def test_accuracy_on_the_training_distribution_is_left_as_it_is():
    generator = np.random.default_rng(0)
    log_probabilities, labels, _ = made(9000)
    drawn = np.concatenate([np.flatnonzero(labels == k)[: 3 * n] for k, n in enumerate((800, 80, 8))])
    drawn = generator.permutation(drawn)
    remedies = find_remedies(log_probabilities[drawn], labels[drawn], COUNTS, "accuracy")
    assert choose_remedy(remedies, labels[drawn], "accuracy").method == "unchanged"


def test_a_remedy_that_gains_nothing_leaves_the_network_unchanged_even_where_it_is_asked_for():
    log_probabilities, labels, _ = made(300, prior=COUNTS[::-1])
    remedies = find_remedies(log_probabilities, labels, COUNTS, methods=["logit_adjustment"])
    assert choose_remedy(remedies, labels, asked="logit_adjustment").method == "unchanged"


def test_the_gain_has_the_spread_of_its_images():
    """Of n images of each of two classes, of which a share p turns right: sqrt(p (1 - p) / 2n)."""
    generator = np.random.default_rng(0)
    labels = np.arange(800) % 2
    after = np.where(generator.random(800) < 0.3, labels, 1 - labels)
    found = paired_gain("balanced_accuracy", labels, 1 - labels, after, 2)
    assert found.standard_error == pytest.approx(np.sqrt(0.3 * 0.7 / 800), rel=0.15)
    assert found.low < found.value < found.high
    assert paired_gain("macro_f1", labels, after, after, 2).standard_error == 0


def test_the_smallest_of_equally_good_taus_is_taken():
    log_probabilities = np.log(np.array([[0.9, 0.1]] * 4 + [[0.2, 0.8]] * 4))
    labels = np.repeat([0, 1], 4)
    adjusted = find_remedies(log_probabilities, labels, [60, 40], methods=["logit_adjustment"])[1]
    assert adjusted.tau == LOGIT_TAUS[0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"metric": "f1"}, UnknownNameError, "no metric is called 'f1'"),
        ({"methods": ["tau"]}, UnknownNameError, "no method is called 'tau'"),
        ({"counts": [1, 0, 1]}, DataError, "each above 0"),
        ({"log_probabilities": np.full((3, 3), np.nan)}, DataError, "3 with outputs that are not finite"),
        ({"labels": np.array([0]), "log_probabilities": np.zeros((1, 3))}, DataError, "two images or more"),
    ],
)
def test_mistakes_are_named(change, error, message):
    given = {"log_probabilities": np.zeros((3, 3)), "labels": np.arange(3), "counts": [1, 1, 1], **change}
    with pytest.raises(error, match=message):
        find_remedies(**given)
